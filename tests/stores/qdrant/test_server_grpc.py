"""A server over gRPC, held to the suite that holds every store, and what is its own."""

from __future__ import annotations

import random

import pytest
from qdrant_client import QdrantClient, models

from tests.stores.qdrant.raw_client import address_of, raw_rows
from tests.stores.qdrant.samples import payloads_of, schema, with_payloads
from tests.support.qdrant_server import QdrantServer, QdrantTarget
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.errors import BadRecord
from vecferry.mapping import floats
from vecferry.stores import registry
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestServerOverGrpc(TargetConformance):
    """Every case of the suite, over gRPC."""

    @pytest.fixture(autouse=True)
    def _raw(self, qdrant_raw: QdrantClient) -> None:
        self.raw = qdrant_raw

    @pytest.fixture
    def place(self, qdrant: QdrantTarget, prefix: str) -> Place:
        return lambda name: address_of(qdrant, "grpc", f"{prefix} {name}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        return raw_rows(self.raw, address.collection())


# What is its own


@pytest.fixture
def address(server: QdrantServer, unique: str) -> Address:
    """A collection that is not there yet."""
    return parse(f"qdrant://127.0.0.1:{server.grpc_port}/{unique}?wire=grpc&rest_port={server.rest_port}")


def test_integers_beyond_int64_are_refused(address: Address) -> None:
    """gRPC has no such integers: the record is named, so that a mapping keeps the value as text."""
    with registry.open_target(address) as target:
        assert target.capabilities().payload.integer_max == 2**63 - 1
        target.create(schema(), {})
        with pytest.raises(BadRecord, match=r"record 1: .*9223372036854775808"):
            target.write(with_payloads([b'{"n":9223372036854775807}', b'{"n":9223372036854775808}']))
        assert target.count() == 0


def test_a_doubtful_number_is_refused_where_rest_is_closed(
    server: QdrantServer, raw: QdrantClient, unique: str
) -> None:
    """Without REST a double of that size could be an integer: the record is named, nothing is guessed."""
    with registry.open_target(parse(f"qdrant://127.0.0.1:{server.grpc_port}/{unique}?wire=grpc&rest_port=1")) as target:
        target.create(schema(), {})
        raw.upsert(unique, [models.PointStruct(id=3, vector=[1.0] * 4, payload={"n": 2**64 - 1})])
        with pytest.raises(BadRecord, match="record 3") as refused:
            payloads_of(target)
    assert "rest_port" in refused.value.advice


def test_payload_floats_come_back_as_predicted(address: Address) -> None:
    """What the capabilities say about floats is what a read gives, bit for bit."""
    drawn = random.Random(11)
    texts = [canonical.encode({"x": drawn.random() * 10 ** drawn.randint(-200, 200)}) for _ in range(1500)]
    with registry.open_target(address) as target:
        passes = floats.PASSES[target.capabilities().payload.float_text]
        target.create(schema(), {})
        target.write(with_payloads(texts))
        found = payloads_of(target)
    expected = [floats.predict_text(text, passes) for text in texts]
    assert [found[str(at)] for at in range(len(texts))] == expected
    assert expected != texts
