"""What a server's collection does on either wire, beside the suite that holds every store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import QdrantClient, models

from tests.stores.qdrant.raw_client import raw_rows
from tests.stores.qdrant.samples import payloads_of, records, schema, with_ids, with_payloads
from tests.support.qdrant_server import QdrantServer
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.contract import Aliasing, Reader
from vecferry.errors import BadOption, BadRecord, NotFound, RetryLater, StoreRefused, TargetNotEmpty
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.testing.rows import rows_of
from vecferry.transfer import retry

WIRES = ("grpc", "rest")


def url(server: QdrantServer, wire: str, collection: str) -> str:
    """A collection's URL on one wire."""
    port = server.grpc_port if wire == "grpc" else server.rest_port
    return f"qdrant://127.0.0.1:{port}/{collection}?wire={wire}&rest_port={server.rest_port}"


def grpc_client(server: QdrantServer) -> QdrantClient:
    """The official client over gRPC, which sends NaN."""
    return QdrantClient(
        host="127.0.0.1", port=server.rest_port, grpc_port=server.grpc_port, prefer_grpc=True, check_compatibility=False
    )


@pytest.fixture(params=WIRES)
def address(server: QdrantServer, unique: str, request: pytest.FixtureRequest) -> Address:
    """A collection that is not there yet, by each wire."""
    return parse(url(server, request.param, unique))


@pytest.fixture
def filled(address: Address) -> Address:
    """Fifty records."""
    with registry.open_target(address) as target:
        target.create(schema(), {"migration": "m"})
        with target.bulk_load():
            target.write(records(50))
    return address


# Access


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """A server that wants a key."""
    with QdrantServer(tmp_path_factory.mktemp("locked"), api_key="right") as running:
        yield running


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("key", ["wrong", None])
def test_a_wrong_key_is_refused_with_advice(locked: QdrantServer, unique: str, wire: str, key: str | None) -> None:
    """Without the right key nothing opens, and the error says where keys are given."""
    secrets = {} if key is None else {"api_key": key}
    with pytest.raises(StoreRefused) as refused:
        registry.open_source(parse(url(locked, wire, unique), secrets))
    assert "key" in refused.value.advice
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize("wire", WIRES)
def test_the_right_key_opens(locked: QdrantServer, unique: str, wire: str) -> None:
    """The key from the secrets is sent by every path, and the notes say when it travels unencrypted."""
    with registry.open_target(parse(url(locked, wire, unique), {"api_key": "right"})) as target:
        target.create(schema(), {})
        target.write(records(3))
        assert len(payloads_of(target)) == target.count() == 3
        assert "unencrypted" in target.describe().notes[0]


@pytest.mark.parametrize("wire", WIRES)
def test_a_server_that_is_away_is_tried_later(tmp_path: Path, wire: str) -> None:
    """A stopped server is RetryLater by the same handle that works before and after."""
    server = QdrantServer(tmp_path)
    with server, registry.open_target(parse(url(server, wire, "docs"))) as target:
        target.create(schema(), {})
        target.write(records(5))
        server.stop()
        for ask in (target.count, lambda: target.write(records(6)), lambda: payloads_of(target)):
            with pytest.raises(RetryLater):
                ask()
        server.start()
        retry.call(20.0, lambda: target.write(records(6)))
        assert target.count() == 6


def test_rest_is_taken_where_grpc_does_not_answer(server: QdrantServer, unique: str) -> None:
    """Without a wire in the URL gRPC is used, and REST where the gRPC port is closed."""
    by_grpc = parse(f"qdrant://127.0.0.1:{server.grpc_port}/{unique}?rest_port={server.rest_port}")
    by_rest = parse(f"qdrant://127.0.0.1:1/{unique}?rest_port={server.rest_port}")
    with registry.open_target(by_grpc) as one, registry.open_target(by_rest) as other:
        assert "gRPC" in one.capabilities().engine
        assert "REST" in other.capabilities().engine
        other.create(schema(), {})
        assert one.exists()


def test_nothing_on_both_ports_is_tried_later(unique: str) -> None:
    """When neither port answers, the error names both."""
    with pytest.raises(RetryLater, match=r"port 1.*port 2"):
        registry.open_source(parse(f"qdrant://127.0.0.1:1/{unique}?rest_port=2"))


@pytest.mark.parametrize("options", ["wire=http", "rest_port=x", "timeout_s=0", "timeout_s=nan", "colour=red"])
def test_wrong_options_are_refused(options: str) -> None:
    """An option that is not taken, or has no sense, is BadOption."""
    with pytest.raises(BadOption):
        registry.open_target(parse(f"qdrant://127.0.0.1:1/docs?{options}"))


# Faults


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("upsert", grpc.StatusCode.UNAVAILABLE),
        ("scroll", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("retrieve", grpc.StatusCode.INTERNAL),
        ("count", grpc.StatusCode.UNAVAILABLE),
        ("get_collection", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_faults_that_may_pass_are_retry_later(
    server: QdrantServer, filled: Address, method: str, code: grpc.StatusCode
) -> None:
    """A fault of one call is RetryLater, and the next call works."""
    ids = columns.ids_batch([RecordId(IdKind.UINT64, "1")])
    calls = {
        "upsert": lambda target: target.write(records(50)),
        "scroll": lambda target: payloads_of(target),
        "retrieve": lambda target: target.fetch(ids),
        "count": lambda target: target.count(),
        "get_collection": lambda target: target.describe(),
    }
    with registry.open_target(filled) as target:
        server.faults.fail(method, code=code, collection=filled.collection())
        with pytest.raises(RetryLater):
            calls[method](target)
        calls[method](target)
        assert target.count() == 50


@pytest.mark.slow
def test_a_slow_answer_ends_at_the_deadline(server: QdrantServer, filled: Address) -> None:
    """A call that takes longer than `timeout_s` is RetryLater."""
    with registry.open_target(parse(f"{filled}&timeout_s=1")) as target:
        with server.faults.hold("scroll", collection=filled.collection()), pytest.raises(RetryLater):
            payloads_of(target)
        assert len(payloads_of(target)) == 50


def test_a_write_whose_answer_was_lost_is_written_again(server: QdrantServer, filled: Address) -> None:
    """After an applied write with a lost answer, the same write leaves the same records."""
    with registry.open_target(filled) as target:
        server.faults.fail("upsert", applied=True, collection=filled.collection())
        with pytest.raises(RetryLater):
            target.write(records(60))
        target.write(records(60))
        assert target.count() == 60


def test_a_fault_in_the_middle_of_many_requests_is_seen(server: QdrantServer, filled: Address) -> None:
    """When one of several requests in flight fails, the write fails, whatever the others did."""
    with registry.open_target(filled) as target:
        server.faults.fail("upsert", skip=2, collection=filled.collection())
        with pytest.raises(RetryLater):
            target.write(records(2600))
        target.write(records(2600))
        assert target.count() == 2600


# Manners


@pytest.mark.parametrize("reader", Reader)
def test_a_source_is_never_written(server: QdrantServer, filled: Address, reader: Reader) -> None:
    """Whatever a source is asked, the server's log shows reads only."""
    server.requests.clear()
    with registry.open_source(filled, reader) as source:
        source.capabilities()
        source.describe()
        source.count()
        source.fetch(columns.ids_batch([RecordId(IdKind.UINT64, "1")]))
        for part in source.slices(3):
            assert list(source.read(part, batch_rows=7))
    assert len(server.requests) > 8
    assert server.requests.writes() == []


def test_an_alias_opens_as_a_source(raw: QdrantClient, filled: Address, unique: str) -> None:
    """A collection may be read by its alias."""
    with registry.open_target(filled) as target:
        assert isinstance(target, Aliasing)
        target.point_alias(f"{unique}-alias")
    with registry.open_source(parse(str(filled).replace(unique, f"{unique}-alias"))) as source:
        assert source.count() == 50
    taken = registry.open_target(parse(str(filled).replace(unique, f"{unique}-alias")))
    with taken, pytest.raises(TargetNotEmpty):
        taken.create(schema(), {})


def test_an_alias_moves_with_one_creation(server: QdrantServer, filled: Address, unique: str) -> None:
    """`point_alias` makes an alias and re-points it, each with one request; `alias_target` says where it leads."""
    alias = f"{unique}-live"
    with (
        registry.open_target(filled) as old,
        registry.open_target(parse(f"{filled}".replace(unique, f"{unique}2"))) as new,
    ):
        assert isinstance(old, Aliasing)
        assert isinstance(new, Aliasing)
        new.create(schema(), {})
        assert old.alias_target(alias) is None
        old.point_alias(alias)
        assert new.alias_target(alias) == unique
        server.requests.clear()
        new.point_alias(alias)
        assert len(server.requests.writes()) == 1
        assert old.alias_target(alias) == f"{unique}2"


def test_an_alias_for_an_absent_collection_is_not_found(address: Address) -> None:
    """An alias cannot be pointed at what is not there, and stays where it was."""
    with registry.open_target(address) as target:
        assert isinstance(target, Aliasing)
        with pytest.raises(NotFound):
            target.point_alias("nowhere")
        assert target.alias_target("nowhere") is None


# Loading


def test_indexing_is_off_during_a_load_and_back_after_it(raw: QdrantClient, address: Address) -> None:
    """`begin_load` sets the threshold to 0, `finish_load` restores the collection's own, another handle's too."""

    def threshold() -> int | None:
        return raw.get_collection(address.collection()).config.optimizer_config.indexing_threshold

    with registry.open_target(address) as target:
        target.create(schema(), {"migration": "m"})
        raw.update_collection(
            address.collection(), optimizers_config=models.OptimizersConfigDiff(indexing_threshold=777)
        )
        target.begin_load()
        target.begin_load()
        assert threshold() == 0
    with registry.open_target(address) as another:
        another.begin_load()
        another.finish_load()
        assert threshold() == 777
        assert another.describe().mark == {"migration": "m"}


def test_the_mark_lives_in_the_collections_metadata(raw: QdrantClient, filled: Address) -> None:
    """Other programs see the mark as one text, and their own metadata are features, ours are not."""
    raw.update_collection(filled.collection(), metadata={"owner": "search team"})
    assert raw.get_collection(filled.collection()).config.metadata["vecferry"] == '{"migration":"m"}'
    with registry.open_source(filled) as source:
        described = source.describe()
    assert described.mark == {"migration": "m"}
    about_metadata = [feature for feature in described.features if feature.name.startswith("metadata")]
    assert [feature.value for feature in about_metadata] == ["search team"]


def test_settings_and_indexes_are_features(raw: QdrantClient, filled: Address, unique: str) -> None:
    """Payload indexes with their parameters, HNSW settings and aliases are listed as what does not travel."""
    raw.create_payload_index(unique, "color", models.KeywordIndexParams(type="keyword", is_tenant=True))
    raw.update_collection(unique, hnsw_config=models.HnswConfigDiff(m=33))
    with registry.open_target(filled) as target:
        assert isinstance(target, Aliasing)
        target.point_alias(f"{unique}-a")
        found = {feature.name: feature.value for feature in target.describe().features}
    assert found["payload index of 'color'"] == "keyword (is_tenant=True)"
    assert found["hnsw_config: m"] == "33"
    assert found[f"alias '{unique}-a'"] == "leads to it"


def test_strict_mode_is_kept_to(raw: QdrantClient, filled: Address, unique: str) -> None:
    """A collection that limits batches and pages is written and read within its limits."""
    strict = models.StrictModeConfig(enabled=True, upsert_max_batchsize=9, max_query_limit=8)
    raw.update_collection(unique, strict_mode_config=strict)
    with registry.open_target(filled) as target:
        target.write(records(60))
        assert target.count() == 60
        assert len(payloads_of(target)) == 60
        assert len(target.slices(3)) == 3
        target.delete(records(60).select([columns.ID, columns.ID_KIND]))
        assert target.count() == 0


def test_a_rate_limit_is_tried_later(raw: QdrantClient, filled: Address, unique: str) -> None:
    """A server that says "too many requests" is RetryLater."""
    raw.update_collection(unique, strict_mode_config=models.StrictModeConfig(enabled=True, write_rate_limit=1))
    with registry.open_target(filled) as target, pytest.raises(RetryLater):
        list(map(target.write, [records(5)] * 3))


# Records


def test_what_the_server_would_refuse_in_part_is_refused_whole(raw: QdrantClient, filled: Address, unique: str) -> None:
    """A NaN, an unknown vector name or a document is found before the first request: nothing of it is stored."""
    named = columns.make(["900"], IdKind.UINT64, vectors={"zz": records(1).column("vector")}, payloads=[b"{}"])
    vectors = columns.dense_column(records(3)).values.copy()
    vectors[2, 1] = float("nan")
    poison = columns.make(
        ["900", "901", "902"], IdKind.UINT64, vectors={"": columns.dense_array(vectors)}, payloads=[b"{}"] * 3
    )
    written = with_ids([RecordId(IdKind.UINT64, "900")])
    document = columns.make(
        ["900"],
        IdKind.UINT64,
        vectors={"": written.column("vector")},
        documents=["text"],
        payloads=written.column("payload"),
    )
    with registry.open_target(filled) as target:
        for batch in (named, poison, document):
            with pytest.raises(BadRecord, match=r"'zz'|902|900"):
                target.write(batch)
    assert set(raw_rows(raw, unique)) == {str(number) for number in range(50)}


def test_a_nan_that_is_stored_is_never_changed(server: QdrantServer, filled: Address, unique: str) -> None:
    """gRPC reads a stored NaN with its bits, so that a plan can name the record; REST cannot, and says so."""
    with contextlib.closing(grpc_client(server)) as writer:
        writer.upsert(unique, [models.PointStruct(id=7, vector=[1.0, float("nan"), 2.0, 3.0])], wait=True)
    with registry.open_source(filled) as source:
        asked = columns.ids_batch([RecordId(IdKind.UINT64, "7")])
        if filled.options["wire"] == "grpc":
            assert columns.nonfinite_row(source.fetch(asked)) == ("", 0)
        else:
            with pytest.raises(BadRecord, match="record 7"):
                source.fetch(asked)


@pytest.mark.parametrize("reader", Reader)
def test_stored_integers_beyond_int64_are_read_exactly(
    raw: QdrantClient, filled: Address, unique: str, reader: Reader
) -> None:
    """gRPC shows 2^63 to 2^64 - 1 as doubles: such payloads are read over REST, real doubles stay doubles."""
    numbers = {60: 2**63, 61: 2**64 - 1, 62: 2**63 - 1, 63: float(2**63), 64: 1e19}
    raw.upsert(unique, [models.PointStruct(id=key, vector=[1.0] * 4, payload={"n": n}) for key, n in numbers.items()])
    with registry.open_source(filled, reader) as source:
        found = payloads_of(source)
    assert {key: found[str(key)] for key in numbers} == {key: canonical.encode({"n": n}) for key, n in numbers.items()}


def test_fetch_takes_any_number_of_ids(filled: Address) -> None:
    """Thousands of ids, absent and repeated ones among them, give each present record once."""
    asked = [RecordId(IdKind.UINT64, str(number % 3000)) for number in range(6000)]
    with registry.open_source(filled) as source:
        assert source.fetch(columns.ids_batch(asked)).num_rows == 50


def test_the_public_reader_fetches_the_same(filled: Address) -> None:
    """The official client shows of some ids what the fast reader shows."""
    asked = columns.ids_batch([RecordId(IdKind.UINT64, str(number)) for number in range(0, 90, 3)])
    with registry.open_source(filled) as fast, registry.open_source(filled, Reader.PUBLIC) as public:
        assert rows_of([public.fetch(asked)]) == rows_of([fast.fetch(asked)])


def test_uuids_in_any_spelling_are_one_record(raw: QdrantClient, filled: Address, unique: str) -> None:
    """A UUID that another program wrote in capitals is read in its canonical text."""
    raw.upsert(unique, [models.PointStruct(id="7D444840-9DC0-11D1-B245-5FFDCE74FAD2", vector=[1.0] * 4)])
    wanted = RecordId(IdKind.UUID, "7d444840-9dc0-11d1-b245-5ffdce74fad2")
    with registry.open_source(filled) as source:
        assert columns.record_ids(source.fetch(columns.ids_batch([wanted]))) == [wanted]
        assert wanted.text in payloads_of(source)


def test_large_rows_are_cut_into_requests(server: QdrantServer, filled: Address, unique: str) -> None:
    """A batch of more bytes than one request may have arrives in several."""
    text = b'{"text":"' + b"x" * 300_000 + b'"}'
    with registry.open_target(filled) as target:
        server.requests.clear()
        target.write(with_payloads([text] * 60))
        assert len(server.requests.of("upsert", unique)) == 2
        assert set(payloads_of(target).values()) == {text}
