"""The silent hazards of Milvus and its client, each met on purpose."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import common_pb2

from vecferry import address, canonical
from vecferry import batch as batches
from vecferry.contract import Reader
from vecferry.errors import BadRecord, StoreRefused
from vecferry.model import IDS_ONLY, CollectionSchema, IdKind, Metric, RecordId, VectorField
from vecferry.stores import registry
from vecferry.stores.milvus import collection, records
from vecferry.testing import generators
from vecferry.testing.rows import read_all, rows_of

from . import raw
from .users import HOSTILE, make_plain

pytestmark = pytest.mark.slow

VECTOR = VectorField("", dimension=4, metric=Metric.COSINE)


def text_ids(*texts: str) -> Any:
    """Ids as `fetch` and `delete` take them."""
    return batches.ids_batch([RecordId(IdKind.STRING, text) for text in texts])


def one_record(text: str, payload: dict[str, Any]) -> Any:
    """A record as `write` takes it."""
    vectors = {"": batches.dense_array(np.ones((1, 4), dtype=np.float32))}
    return batches.make([text], IdKind.STRING, vectors=vectors, documents=[None], payloads=[canonical.encode(payload)])


def create(url: str) -> Any:
    """A collection with text keys and one vector, open as a target."""
    target = registry.open_target(address.parse(url))
    target.create(CollectionSchema("c", (VECTOR,), frozenset({IdKind.STRING})), {"m": 1})
    return target


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize("kind", [int, str])
def test_windows_lose_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader, kind: type) -> None:
    """Records written in any order to several segments come once each, though a limit alone gives them unordered."""
    ids: list[Any] = [kind(number * 7 - 3000) for number in range(1500)]
    random.Random(3).shuffle(ids)
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        make_plain(client, "c", ids[:700])
        client.flush("c")
        client.upsert("c", [{"id": item, "vector": [0.0] * 4, "later": 1} for item in ids[500:]])
        client.delete("c", filter=f"id in {[*ids[:10]]}".replace("'", '"'))
    monkeypatch.setattr(collection, "_WINDOW_ROWS", 97)
    with registry.open_source(address.parse(f"milvus+path://{folder}/c"), reader) as source:
        found = read_all(source, IDS_ONLY, slices=5)
        assert source.count() == len(found)
    assert {item.text for item in found} == set(map(str, ids[10:]))


def test_records_out_of_order_stop_the_reading() -> None:
    """A page whose keys do not ascend is refused: what comes behind it would be lost."""
    page = text_ids("a", "c", "b")
    with pytest.raises(StoreRefused, match="out of the order"):
        collection._last_key(page, "milvus://x/c")
    with pytest.raises(StoreRefused, match="a key twice"):
        collection._last_key(text_ids("a", "a"), "milvus://x/c")
    numbers = batches.ids_batch([RecordId(IdKind.INT64, text) for text in ("-10", "-9", "2", "10")])
    assert collection._last_key(numbers, "milvus://x/c") == "10"


def test_every_read_asks_for_what_is_true_now() -> None:
    """A query carries Strong and does not leave it to the collection, whose default shows no fresh record."""
    request = records._query("c", "id > 1", ["id"], {})
    assert request.consistency_level == common_pb2.ConsistencyLevel.Value("Strong")
    assert not request.use_default_consistency


@pytest.mark.parametrize("reader", Reader)
def test_any_character_may_stand_in_a_key(tmp_path: Path, reader: Reader) -> None:
    """Keys with quotes, backslashes, line breaks and none at all are read, sliced and fetched, each once."""
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        make_plain(client, "c", list(HOSTILE))
    with registry.open_source(address.parse(f"milvus+path://{folder}/c"), reader) as source:
        assert {item.text for item in read_all(source, slices=6)} == set(HOSTILE)
        for text in HOSTILE:
            assert [item.text for item in batches.record_ids(source.fetch(text_ids(text)))] == [text]


def test_a_key_that_looks_like_a_list_deletes_itself_alone(tmp_path: Path) -> None:
    """Deleting `x', 'b` leaves the record `b`, which the client would delete as well."""
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        make_plain(client, "c", list(HOSTILE))
        client.delete("c", ids=["x', 'b"])
        kept = {row["id"] for row in client.query("c", filter='id >= ""', output_fields=["id"], limit=100)}
        assert "b" not in kept, "the client escapes keys by now: this trap is gone"
        client.insert("c", [{"id": "b", "vector": [1.0] * 4}, {"id": "x', 'b", "vector": [1.0] * 4}])
    with registry.open_target(address.parse(f"milvus+path://{folder}/c")) as target:
        target.delete(text_ids("x', 'b", 'a"b', "a\\b", "a\nb", ""))
        left = {item.text for item in batches.record_ids(target.fetch(text_ids(*HOSTILE)))}
    assert left == set(HOSTILE) - {"x', 'b", 'a"b', "a\\b", "a\nb", ""}


def test_a_vector_that_may_be_null_is_refused_on_lite(tmp_path: Path) -> None:
    """milvus-lite stores a null vector as zeros; the collection is refused instead of giving zeros."""
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        _make_nullable(client)
        assert client.query("c", filter="id == 1", output_fields=["v"])[0]["v"] == [0.0, 0.0]
    with (
        registry.open_source(address.parse(f"milvus+path://{folder}/c")) as source,
        pytest.raises(StoreRefused, match="stores as zeros"),
    ):
        source.describe()


def _make_nullable(client: MilvusClient) -> None:
    fields = client.create_schema(auto_id=False, enable_dynamic_field=True)
    fields.add_field("id", DataType.INT64, is_primary=True)
    fields.add_field("v", DataType.FLOAT_VECTOR, dim=2, nullable=True)
    client.create_collection("c", schema=fields)
    client.insert("c", [{"id": 1, "v": None}, {"id": 2, "v": [1.0, 2.0]}])


def test_a_write_replaces_where_the_upsert_of_lite_merges(tmp_path: Path) -> None:
    """A new version of a record has none of the old keys, and its key is there once, in the log and in segments."""
    url = f"milvus+path://{tmp_path}/data/c"
    with create(url) as target:
        target.write(one_record("a", {"old": 1}))
        target.finish_load()
        target.write(one_record("a", {"new": 2}))
        assert target.count() == 1
        assert [row.payload for row in read_all(target).values()] == [b'{"new":2}']
    with raw.folder_client(tmp_path / "data") as client:
        client.load_collection("c")
        client.upsert("c", [{"id": "a", "vector": [1.0] * 4, "newer": 3}])
        [row] = client.query("c", filter='id == "a"', output_fields=["*"])
        assert row["new"] == 2, "the upsert of milvus-lite replaces by now: this trap is gone"


@pytest.mark.parametrize("key", ["id", "vector", "$meta", "_seq", "_partition"])
def test_payload_keys_that_would_change_the_record_are_refused(tmp_path: Path, key: str) -> None:
    """A payload key with the name of a field would overwrite it, others would vanish: the record is refused by name."""
    with create(f"milvus+path://{tmp_path}/data/c") as target:
        with pytest.raises(BadRecord, match=r"'a'.*name of a field"):
            target.write(one_record("a", {key: "evil"}))
        assert target.count() == 0
        assert key in target.capabilities().payload.reserved_keys
        target.write(one_record("a", {"inner": {key: "harmless"}}))
        assert [row.payload for row in read_all(target).values()] == [canonical.encode({"inner": {key: "harmless"}})]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"n": 2**63}, "beyond int64"),
        ({"n": [-(2**63) - 1]}, "beyond int64"),
        ({"x": float("nan")}, "JSON cannot say"),
        ({"x": b"bytes"}, "JSON cannot say"),
    ],
)
def test_values_that_json_or_a_server_would_change_are_refused(
    tmp_path: Path, payload: dict[str, Any], reason: str
) -> None:
    """Integers beyond int64 and what JSON cannot say never reach Milvus."""
    with create(f"milvus+path://{tmp_path}/data/c") as target:
        with pytest.raises(BadRecord, match=reason):
            target.write(one_record("a", payload))
        assert target.count() == 0


def test_payloads_are_as_deep_as_claimed(tmp_path: Path) -> None:
    """The deepest payload that is claimed comes back; a deeper one is refused by name."""
    deepest: Any = 1
    with create(f"milvus+path://{tmp_path}/data/c") as target:
        for _ in range((target.capabilities().payload.max_depth or 0) - 1):
            deepest = [deepest]
        target.write(one_record("a", {"deep": deepest}))
        assert [row.payload for row in read_all(target).values()] == [canonical.encode({"deep": deepest})]
        with pytest.raises(BadRecord, match="nested more than"):
            target.write(one_record("b", {"deep": [deepest]}))


def test_nan_never_reaches_lite_which_would_store_it(tmp_path: Path) -> None:
    """NaN in a vector is refused by name."""
    vectors = {"": batches.dense_array(np.array([[1, 2, np.nan, 4]], dtype=np.float32))}
    batch = batches.make(["a"], IdKind.STRING, vectors=vectors, documents=[None], payloads=[b"{}"])
    with create(f"milvus+path://{tmp_path}/data/c") as target, pytest.raises(BadRecord, match=r"'a'.*NaN"):
        target.write(batch)


def test_a_nan_that_lite_stored_is_told_and_not_moved(tmp_path: Path) -> None:
    """milvus-lite takes NaN; as a source it is read as it is, and the record is named before anything is written."""
    with raw.folder_client(tmp_path / "data") as client:
        make_plain(client, "c", ["a", "b"])
        client.insert("c", [{"id": "bad", "vector": [1.0, float("nan"), 0.0, 0.0]}])
    with registry.open_source(address.parse(f"milvus+path://{tmp_path}/data/c")) as source:
        [part] = source.slices(1)
        [page] = source.read(part)
        found = batches.nonfinite_row(page)
        assert found is not None
        assert batches.record_ids(page)[found[1]].text == "bad"
        with create(f"milvus+path://{tmp_path}/data/d") as target:
            with pytest.raises(BadRecord, match=r"'bad'.*NaN"):
                target.write(page)
            assert target.count() == 0


@pytest.mark.parametrize(
    ("entries", "reason"),
    [({}, "empty sparse"), ({3: 0.0}, "above zero"), ({3: -1.0}, "above zero"), ({2**32 - 1: 1.0}, "above zero")],
)
def test_sparse_vectors_that_milvus_drops_or_refuses_are_named(
    tmp_path: Path, entries: dict[int, float], reason: str
) -> None:
    """Empty sparse vectors, and zeros, which would vanish, are refused with the id."""
    field = VectorField("words", batches.VectorKind.SPARSE, metric=Metric.DOT)
    indices, values = np.array(list(entries), np.uint32), np.array(list(entries.values()), np.float32)
    column = batches.sparse_array(batches.Sparse(indices, values, np.array([0, len(entries)], np.int32)))
    batch = batches.make(["a"], IdKind.STRING, vectors={"words": column}, documents=[None], payloads=[b"{}"])
    with registry.open_target(address.parse(f"milvus+path://{tmp_path}/data/c")) as target:
        target.create(CollectionSchema("c", (field,), frozenset({IdKind.STRING})), {})
        with pytest.raises(BadRecord, match=f"{reason}.*'a'"):
            target.write(batch)


def test_a_renamed_collection_is_loaded_again(tmp_path: Path) -> None:
    """milvus-lite releases a collection that it renames; it is read all the same."""
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        make_plain(client, "old", ["a", "b"])
        client.rename_collection("old", "new")
    with registry.open_source(address.parse(f"milvus+path://{folder}/new")) as source:
        assert len(read_all(source)) == source.count() == 2


def test_a_text_key_of_the_greatest_length_is_kept(tmp_path: Path) -> None:
    """65,535 bytes of UTF-8 are a key; one more is refused, though milvus-lite counts characters."""
    longest = "ü" * 32_767 + "x"
    with create(f"milvus+path://{tmp_path}/data/c") as target:
        target.write(one_record(longest, {}))
        assert batches.record_ids(target.fetch(text_ids(longest))) == [RecordId(IdKind.STRING, longest)]
        with pytest.raises(BadRecord, match="65536 bytes"):
            target.write(one_record(longest + "x", {}))


@pytest.mark.parametrize("name", ["a b", "id", "ünï", "$meta", "iso", "x" * 256])
def test_vectors_whose_names_are_no_fields_are_refused(tmp_path: Path, name: str) -> None:
    """A vector that no field can be named after is refused before anything is made."""
    field = VectorField(name, dimension=4, metric=Metric.COSINE)
    with registry.open_target(address.parse(f"milvus+path://{tmp_path}/data/c")) as target:
        with pytest.raises(StoreRefused, match="no field for the vector"):
            target.create(CollectionSchema("c", (field,), frozenset({IdKind.STRING})), {})
        assert not target.exists()


def test_a_vector_named_vector_is_not_the_unnamed_one(tmp_path: Path) -> None:
    """The field `vector` holds the unnamed vector, or one of that name; the collection remembers which."""
    for name in ("", "vector"):
        field = VectorField(name, dimension=4, metric=Metric.DOT)
        url = f"milvus+path://{tmp_path}/data/c{name}"
        with registry.open_target(address.parse(url)) as target:
            target.create(CollectionSchema("c", (field,), frozenset({IdKind.STRING})), {})
            written = generators.records((field,), target.capabilities(), 5)
            target.write(written)
        with registry.open_source(address.parse(url)) as source:
            assert source.describe().vectors == (field,)
            assert read_all(source) == rows_of([written])
