"""Servers: keys, faults, limits, and what differs between a Milvus and milvus-lite, met behind a proxy."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import grpc
import numpy as np
import pyarrow as pa
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from tests.support.milvus_server import MilvusServer
from tests.support.tls_certificates import Certificates, make_certificates
from vecferry import address
from vecferry import batch as batches
from vecferry.contract import Reader
from vecferry.errors import BadOption, BadRecord, NotFound, RetryLater, StoreRefused, TargetNotEmpty
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry
from vecferry.stores.milvus import capabilities
from vecferry.stores.milvus import server as milvus_server
from vecferry.testing import generators
from vecferry.testing.rows import read_all, rows_of
from vecferry.transfer import retry

from .proxy import Proxy
from .users import make_plain

pytestmark = pytest.mark.slow

VECTOR = VectorField("", dimension=4, metric=Metric.COSINE)
SCHEMA = CollectionSchema("c", (VECTOR,), frozenset({IdKind.STRING}))


@pytest.fixture
def proxy(milvus: MilvusServer) -> Iterator[Proxy]:
    """A proxy before the server that hands everything on."""
    with Proxy(milvus.port) as opened:
        yield opened


@pytest.fixture
def filled(milvus: MilvusServer) -> str:
    """The name of a collection with 300 records."""
    name = f"c{uuid4().hex}"
    with contextlib.closing(milvus.client()) as client:
        make_plain(client, name, [f"key {number}" for number in range(300)])
    return name


def url_of(port: int, name: str, options: str = "") -> address.Address:
    """A collection on loopback."""
    return address.parse(f"milvus://127.0.0.1:{port}/{name}{options}")


def some_records(rows: int) -> pa.RecordBatch:
    """Records that fit `SCHEMA`."""
    return generators.records((VECTOR,), capabilities.folder(IdKind.STRING, None), rows)


def as_milvus(_: bytes) -> bytes:
    """The answer of a server to Connect."""
    return bytes(milvus_pb2.ConnectResponse(server_info=common_pb2.ServerInfo(build_tags="v2.6.1")).SerializeToString())


def free_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("reader", Reader)
def test_a_dead_server_is_worth_another_try(reader: Reader) -> None:
    """Nothing that listens is RetryLater, whose advice also names the token: a proxy may answer the same to it."""
    with (
        registry.open_source(url_of(free_port(), "c", "?timeout_s=2"), reader) as source,
        pytest.raises(RetryLater, match="does not answer") as caught,
    ):
        source.count()
    assert "start the server" in caught.value.advice
    assert "token" in caught.value.advice


def test_a_server_that_hangs_is_left_after_the_deadline() -> None:
    """A server that takes the connection and says nothing is RetryLater within `timeout_s`."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = url_of(silent.getsockname()[1], "c", "?timeout_s=1")
        with registry.open_source(place) as source, pytest.raises(RetryLater):
            source.count()


def test_a_token_travels_and_a_wrong_one_is_refused(milvus: MilvusServer, filled: str) -> None:
    """Every call carries the token; without it, or with another, the server's refusal names the option."""
    token = base64.b64encode(b"root:secret").decode()
    with Proxy(milvus.port, token=token) as guarded:
        place = url_of(guarded.port, filled)
        with registry.open_source(replace(place, secrets={"token": "root:secret"})) as source:
            assert len(read_all(source)) == source.count() == 300
        for secrets in ({}, {"token": "root:wrong"}):
            with registry.open_source(replace(place, secrets=secrets)) as source:
                with pytest.raises(StoreRefused, match="refused the access") as caught:
                    source.count()
                assert "token" in caught.value.advice
                assert "wrong" not in str(caught.value)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority of the tests and a server's certificate by it."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize("scheme", ["milvuss", "zilliz"])
def test_tls_with_an_own_authority_and_a_key(
    milvus: MilvusServer, certificates: Certificates, scheme: str, reader: Reader
) -> None:
    """With `ca=` and the key, under either name, a collection is made, written, read and dropped through TLS."""
    key = "0123456789abcdef"
    with Proxy(milvus.port, token=base64.b64encode(key.encode()).decode(), certificates=certificates) as guarded:
        url = f"{scheme}://127.0.0.1:{guarded.port}/c{uuid4().hex}?ca={certificates.authority}"
        for secrets in ({"api_key": key}, {"token": key}):
            with registry.open_target(address.parse(url, secrets), reader) as target:
                target.create(SCHEMA, {"m": 1})
                written = some_records(12)
                with target.bulk_load():
                    target.write(written)
                assert read_all(target) == rows_of([written])
                target.drop()
        with (
            registry.open_source(address.parse(url, {"api_key": "another"}), reader) as source,
            pytest.raises(StoreRefused, match="refused the access"),
        ):
            source.count()


def test_a_certificate_that_nobody_knows_is_refused(milvus: MilvusServer, certificates: Certificates) -> None:
    """Without the authority the connection is refused at once, not tried again, and the advice names the option."""
    with Proxy(milvus.port, certificates=certificates) as guarded:
        place = address.parse(f"zilliz://127.0.0.1:{guarded.port}/c?timeout_s=10", {"token": "key"})
        with registry.open_source(place) as source, pytest.raises(StoreRefused, match="not trusted") as caught:
            source.count()
    assert "?ca=" in caught.value.advice


def test_an_authority_that_is_no_file_or_not_needed_is_told(tmp_path: Path) -> None:
    """`ca=` without a file, or for a server without TLS, is BadOption before anything is connected to."""
    for url in (f"milvuss://h/c?ca={tmp_path}/none.pem", f"milvus://h/c?ca={__file__}"):
        with pytest.raises(BadOption, match=r"no file|not encrypted"):
            registry.open_source(address.parse(url))


def test_something_else_on_the_port_is_named() -> None:
    """A gRPC server that is not Milvus is refused with the port that Milvus has."""
    other = grpc.server(futures.ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    try:
        with registry.open_source(url_of(port, "c")) as source, pytest.raises(StoreRefused) as caught:
            source.describe()
        assert "19530" in caught.value.advice
    finally:
        other.stop(0).wait()


@pytest.mark.parametrize("whole", ["grpc", "status"])
def test_answers_that_are_too_large_are_asked_for_in_pieces(proxy: Proxy, filled: str, whole: str) -> None:
    """Where a server refuses a large answer, fewer records are asked for until it gives them; none is lost."""

    def limited(request: bytes) -> bytes | tuple[grpc.StatusCode, str] | None:
        asked = milvus_pb2.QueryRequest.FromString(request)
        limits = [int(pair.value) for pair in asked.query_params if pair.key == "limit"]
        if max([*limits, asked.expr.count(",") + 1]) <= 40:
            return None
        if whole == "grpc":
            return grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (1 vs. 0)"
        status = common_pb2.Status(code=1, reason="query results exceed the maxOutputSize Limit")
        return bytes(milvus_pb2.QueryResults(status=status).SerializeToString())

    proxy.faults["Query"] = limited
    with registry.open_source(url_of(proxy.port, filled)) as source:
        found = read_all(source)
        assert len(found) == 300
        assert source.fetch(batches.ids_batch(list(found))).num_rows == 300


@pytest.mark.parametrize("reader", Reader)
def test_a_short_answer_is_not_the_end(proxy: Proxy, filled: str, reader: Reader) -> None:
    """A server answers with fewer records than asked for while there are more (2.3.5 after an upsert): all are read."""

    def shortened(request: bytes) -> bytes:
        asked = milvus_pb2.QueryRequest.FromString(request)
        for pair in asked.query_params:
            if pair.key == "limit":
                pair.value = "41"
        return proxy.hand_on("Query", asked.SerializeToString())

    proxy.faults["Query"] = shortened
    with registry.open_source(url_of(proxy.port, filled), reader) as source:
        assert len(read_all(source, slices=2)) == 300


@pytest.mark.parametrize("key", ["key 0", "key 150", "key 99"])
def test_a_key_that_stands_twice_is_named(proxy: Proxy, filled: str, key: str) -> None:
    """A server counts a key that was inserted twice as two and gives either record: the key is named, nothing moves."""

    def doubled(request: bytes) -> bytes | None:
        asked = milvus_pb2.QueryRequest.FromString(request)
        if list(asked.output_fields) != ["count(*)"]:
            return None
        found = milvus_pb2.QueryResults.FromString(proxy.hand_on("Query", request))
        asked.expr = f'id == "{key}"' + (f" and {asked.expr}" if asked.expr else "")
        twin = milvus_pb2.QueryResults.FromString(proxy.hand_on("Query", asked.SerializeToString()))
        found.fields_data[0].scalars.long_data.data[0] += twin.fields_data[0].scalars.long_data.data[0]
        return bytes(found.SerializeToString())

    proxy.faults["Query"] = doubled
    with registry.open_source(url_of(proxy.port, filled)) as source:
        assert source.count() == 301
        with pytest.raises(BadRecord, match=f"key {key} more than once"):
            source.slices(3)


def test_a_count_that_is_wrong_for_a_moment_is_no_accusation(proxy: Proxy, filled: str) -> None:
    """A count beyond the keys that were seen, with no key to blame, as writes meanwhile give it, stops nobody."""

    def more(request: bytes) -> bytes | None:
        asked = milvus_pb2.QueryRequest.FromString(request)
        if list(asked.output_fields) != ["count(*)"] or asked.expr:
            return None
        found = milvus_pb2.QueryResults.FromString(proxy.hand_on("Query", request))
        found.fields_data[0].scalars.long_data.data[0] += 1
        return bytes(found.SerializeToString())

    proxy.faults["Query"] = more
    with registry.open_source(url_of(proxy.port, filled)) as source:
        assert len(read_all(source, slices=3)) == 300


def test_the_greatest_number_is_refused_by_servers(milvus: MilvusServer) -> None:
    """Milvus counts the id 2^63-1 and never gives it (2.3.5): it is refused by name, the one below it is kept."""
    with registry.open_target(url_of(milvus.port, f"c{uuid4().hex}", "?ids=int64")) as target:
        target.create(replace(SCHEMA, id_kinds=frozenset({IdKind.INT64})), {})
        vectors = {"": batches.dense_array(np.ones((1, 4), dtype=np.float32))}
        for number, is_kept in ((2**63 - 2, True), (2**63 - 1, False)):
            batch = batches.make([str(number)], IdKind.INT64, vectors=vectors, documents=[None], payloads=[b"{}"])
            with contextlib.nullcontext() if is_kept else pytest.raises(BadRecord, match=str(number)):
                target.write(batch)
        assert target.count() == 1
        target.drop()


def test_a_limit_of_calls_is_worth_another_try(proxy: Proxy, filled: str) -> None:
    """RESOURCE_EXHAUSTED of a rate limit, which comes as an error of gRPC, is RetryLater."""
    proxy.faults["Query"] = lambda request: (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit exceeded")
    with registry.open_source(url_of(proxy.port, filled)) as source, pytest.raises(RetryLater):
        source.count()


def test_a_flush_that_comes_too_early_is_waited_for(proxy: Proxy) -> None:
    """A server flushes a collection every ten seconds at most: its refusal is no end of a load."""
    refused = iter(
        [bytes(milvus_pb2.FlushResponse(status=common_pb2.Status(code=8, reason="rate")).SerializeToString())]
    )
    proxy.faults["Flush"] = lambda request: next(refused, None)
    with registry.open_target(url_of(proxy.port, f"c{uuid4().hex}")) as target:
        target.create(SCHEMA, {})
        target.finish_load()
        assert proxy.calls["Flush"] == 2
        target.drop()


def test_a_load_waits_for_the_index(proxy: Proxy) -> None:
    """`finish_load` returns once the server says that no record waits to be indexed, and a failed index is told."""
    name = f"c{uuid4().hex}"
    with registry.open_target(url_of(proxy.port, name)) as target:
        target.create(SCHEMA, {})
        unready = common_pb2.IndexState.Value("InProgress"), common_pb2.IndexState.Value("Finished")
        answers = iter([_index(unready[0], 0), _index(unready[1], 7)])
        asked = proxy.calls["DescribeIndex"]
        proxy.faults["Flush"] = lambda request: answers_from(proxy, answers)
        target.finish_load()
        assert next(answers, None) is None
        assert proxy.calls["DescribeIndex"] > asked + 2
        del proxy.faults["Flush"]
        proxy.faults["DescribeIndex"] = lambda request: _index(common_pb2.IndexState.Value("Failed"), 0)
        with pytest.raises(StoreRefused, match="failed: out of memory"):
            target.finish_load()
        proxy.faults.clear()
        target.drop()


def answers_from(proxy: Proxy, answers: Iterator[bytes]) -> None:
    """From the flush on, the next looks at the index get these answers."""
    proxy.faults["DescribeIndex"] = lambda request: next(answers, None)


def _index(state: int, pending: int) -> bytes:
    index = milvus_pb2.IndexDescription(
        index_name="vector",
        field_name="vector",
        state=state,  # type: ignore[arg-type]
        pending_index_rows=pending,
        index_state_fail_reason="out of memory",
    )
    return bytes(milvus_pb2.DescribeIndexResponse(index_descriptions=[index]).SerializeToString())


def test_a_milvus_gets_upserts_and_lite_inserts(proxy: Proxy, milvus: MilvusServer) -> None:
    """A server keeps both versions of a key that is inserted twice, milvus-lite merges what is upserted."""
    name = f"c{uuid4().hex}"
    with registry.open_target(url_of(milvus.port, name)) as target:
        target.create(SCHEMA, {})
    proxy.faults["Connect"] = as_milvus
    written = some_records(5)
    with registry.open_target(url_of(proxy.port, name)) as target:
        target.write(written)
        assert (proxy.calls["Upsert"], proxy.calls["Insert"]) == (1, 0)
        assert read_all(target) == rows_of([written])
        assert target.capabilities().parallel_writes == 2
        target.drop()


def test_a_milvus_keeps_the_mark_as_description(proxy: Proxy) -> None:
    """The mark stands in the description; a collection whose description is lost is not left behind."""
    proxy.faults["Connect"] = as_milvus
    sent: list[milvus_pb2.CreateCollectionRequest] = []

    def remember(request: bytes) -> None:
        sent.append(milvus_pb2.CreateCollectionRequest.FromString(request))

    proxy.faults["CreateCollection"] = remember
    with registry.open_target(url_of(proxy.port, f"c{uuid4().hex}")) as target:
        with pytest.raises(StoreRefused, match="keeps no description"):
            target.create(SCHEMA, {"migration": "m-1"})
        assert not target.exists()
    made = schema_pb2.CollectionSchema.FromString(sent[0].schema)
    assert '"mark":{"migration":"m-1"}' in made.description
    assert not sent[0].properties


def test_a_payload_beyond_the_limit_of_a_server_is_refused(milvus: MilvusServer) -> None:
    """65,536 bytes of payload are Milvus's limit: the record is named before anything of the batch is stored."""
    vectors = {"": batches.dense_array(np.ones((2, 4), dtype=np.float32))}
    payloads = [b"{}", b'{"text":"' + b"x" * 65_600 + b'"}']
    batch = batches.make(["a", "b"], IdKind.STRING, vectors=vectors, documents=[None, None], payloads=payloads)
    with registry.open_target(url_of(milvus.port, f"c{uuid4().hex}")) as target:
        target.create(SCHEMA, {})
        with pytest.raises(BadRecord, match=r"'b'.*65,536"):
            target.write(batch)
        assert target.count() == 0
        target.drop()


def test_a_failed_index_leaves_no_collection_behind(proxy: Proxy) -> None:
    """When the index cannot be made, the collection goes again."""
    status = common_pb2.Status(code=1100, reason="invalid index type")
    proxy.faults["CreateIndex"] = lambda request: bytes(status.SerializeToString())
    with registry.open_target(url_of(proxy.port, f"c{uuid4().hex}")) as target:
        with pytest.raises(StoreRefused, match="invalid index type"):
            target.create(SCHEMA, {})
        assert not target.exists()


def test_a_load_goes_on_where_a_crash_left_no_index(proxy: Proxy, milvus: MilvusServer) -> None:
    """A collection whose maker died before its index was made is completed by the next `begin_load`."""
    name = f"c{uuid4().hex}"
    proxy.faults["CreateIndex"] = lambda request: (grpc.StatusCode.UNAVAILABLE, "killed")
    proxy.faults["DropCollection"] = lambda request: (grpc.StatusCode.UNAVAILABLE, "killed")
    with registry.open_target(url_of(proxy.port, name)) as target, pytest.raises(RetryLater):
        target.create(SCHEMA, {"m": 1})
    with registry.open_target(url_of(milvus.port, name)) as target:
        with pytest.raises(TargetNotEmpty):
            target.create(SCHEMA, {"m": 2})
        assert target.mark() == {"m": 1}
        assert target.describe().vectors == (VECTOR,)
        target.begin_load()
        written = some_records(4)
        target.write(written)
        target.finish_load()
        assert read_all(target) == rows_of([written])
        assert any("AUTOINDEX" in feature.value for feature in target.describe().features)
        target.drop()


def test_a_name_that_milvus_never_had_is_not_found(proxy: Proxy) -> None:
    """A server calls such a name an invalid parameter; for a source it is a collection that is not there."""
    proxy.faults["Connect"] = as_milvus
    with registry.open_source(url_of(proxy.port, "a%20b")) as source, pytest.raises(NotFound):
        source.describe()


def test_a_killed_server_is_used_again_when_it_is_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was acknowledged before a SIGKILL is there once the server is back, for the same handle.

    The channel waits a moment before it connects anew: a fault that may pass, retried as every caller does.
    """
    folder = tmp_path_factory.mktemp("killed") / "server"
    with MilvusServer(folder) as server, registry.open_target(url_of(server.port, "c")) as target:
        target.create(SCHEMA, {})
        written = some_records(20)
        target.write(written)
        server.kill()
        with pytest.raises(RetryLater):
            target.count()
        server.start()
        assert retry.call(30, lambda: read_all(target)) == rows_of([written])


def test_urls_and_options_are_checked() -> None:
    """Wrong forms and options are named before anything is connected to."""
    for url in (
        "milvus:///c",
        "milvus://h/db/c",
        "milvus://h/c?wire=rest",
        "milvus://h/c?index=IVF_PQ",
        "milvus://h/c?m=16",
        "milvus://h/c?ids=uuid",
        "milvus://h/c?timeout_s=0",
        "milvus+path://h/dir/c",
    ):
        for opened in (registry.open_target, registry.open_source):
            with pytest.raises(BadOption):
                opened(address.parse(url))
    with pytest.raises(BadOption, match="neither true nor false"):
        registry.open_source(address.parse("milvus://h/c?load=yes"))
    with pytest.raises(BadOption, match="header"):
        registry.open_source(address.parse("zilliz://h/c", {"token": "ä"}))


def test_ports_and_tls_follow_from_the_scheme() -> None:
    """milvus is plain, milvuss and zilliz are TLS; Zilliz Cloud listens on 443."""
    found = [milvus_server.endpoint(address.parse(f"{scheme}://h/c")) for scheme in ("milvus", "milvuss", "zilliz")]
    assert [(one.place, one.tls) for one in found] == [("h:19530", False), ("h:19530", True), ("h:443", True)]


def test_plain_text_meets_tls() -> None:
    """A TLS URL to a plain server is RetryLater with advice, not a hang."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = address.parse(f"milvuss://127.0.0.1:{silent.getsockname()[1]}/c?timeout_s=1")
        with registry.open_source(place) as source, pytest.raises(RetryLater):
            source.count()
