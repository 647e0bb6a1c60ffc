"""Folders as Chroma 0.4.3 to 1.5.9 left them, read directly, against what each of those versions said of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from _pytest.mark.structures import ParameterSet

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.contract import Reader, Source
from vecferry.errors import NotFound, StoreRefused
from vecferry.model import ALL_PARTS, CollectionSchema, IdKind, Metric, RecordId, VectorField
from vecferry.stores import registry
from vecferry.stores.chroma.queue_tail import ADD, DELETE
from vecferry.stores.chroma.schema import nearest_space
from vecferry.testing.rows import read_all

from . import folders

GOLDEN = Path(__file__).parents[2] / "golden"
VERSIONS = ("0.4.3", "0.4.24", "0.5.23", "0.6.3", "1.0.20", "1.4.1", "1.5.9")
BEFORE_1_0 = VERSIONS[:4]
METRICS = {"cosine-docs": "cosine", "l2-docs": "l2", "ip-docs": "ip", "logged": "cosine", "never-filled": "ip"}
BY_SPACE = {"cosine": Metric.COSINE, "l2": Metric.SQUARED_EUCLID, "ip": Metric.DOT}


@dataclass(frozen=True)
class Golden:
    """One version's folder, unpacked, and what that version's client said."""

    folder: Path
    collections: list[dict[str, Any]]

    def address(self, said: dict[str, Any]) -> Address:
        return parse(f"chroma+path://{self.folder}/{said['name']}?tenant={said['tenant']}&database={said['database']}")

    def source(self, said: dict[str, Any]) -> Source:
        return registry.open_source(self.address(said))

    def named(self, name: str) -> dict[str, Any]:
        return next(said for said in self.collections if said["name"] == name)


def unpacked(version: str, place: Path) -> Golden:
    place.mkdir()
    with zipfile.ZipFile(GOLDEN / f"chroma-{version}" / "folder.zip") as packed:
        packed.extractall(place)
    return Golden(place, said_by(version))


@cache
def said_by(version: str) -> list[dict[str, Any]]:
    said = json.loads((GOLDEN / f"chroma-{version}" / "expected.json").read_text())
    assert said["version"] == version
    found: list[dict[str, Any]] = said["collections"]
    return found


def short(versions: Iterable[str]) -> list[ParameterSet]:
    """Versions, those of the long run marked."""
    return [
        pytest.param(one, marks=() if one in ("0.4.3", "0.6.3", "1.0.20") else pytest.mark.slow) for one in versions
    ]


@pytest.fixture(params=short(VERSIONS))
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    return unpacked(request.param, tmp_path / "folder")


@pytest.fixture(params=short(BEFORE_1_0))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    return unpacked(request.param, tmp_path / "folder")


def rows_read(source: Source, slices: int = 1, batch_rows: int = 1000) -> dict[str, dict[str, Any]]:
    """Every record as `expected.json` has them; an id that comes twice fails."""
    found: dict[str, dict[str, Any]] = {}
    for part in source.slices(slices):
        for batch in source.read(part, ALL_PARTS, batch_rows):
            assert batch.schema == batches.arrow_schema(source.describe().vectors)
            for record in rows_in(batch):
                assert record["id"] not in found
                found[record["id"]] = record
    return found


def rows_in(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    dense = batches.dense_column(batch)
    vectors = dense.full()
    columns = (batches.id_texts(batch).to_pylist(), batches.documents_list(batch), batches.payloads(batch))
    return [
        {
            "id": text,
            "vector": vectors[row].tobytes().hex() if dense.present is None or dense.present[row] else None,
            "document": document,
            "payload": payload,
        }
        for row, (text, document, payload) in enumerate(zip(*columns, strict=True))
    ]


def expected(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        record["id"]: {
            "id": record["id"],
            "vector": record["vector"],
            "document": record["document"],
            "payload": canonical.encode(
                {**(record["metadata"] or {}), **({"chroma:uri": record["uri"]} if record["uri"] is not None else {})}
            ),
        }
        for record in said["records"]
    }


def test_every_record_reads_as_its_own_version_says_it(golden: Golden) -> None:
    """Ids, documents, metadata of each type and vectors, bit for bit, from index and log, in one slice and in five."""
    for said in golden.collections:
        with golden.source(said) as source:
            assert rows_read(source) == expected(said)
            assert rows_read(source, slices=5, batch_rows=4) == expected(said)
            assert source.count() == said["count"] == len(said["records"])
            assert source.describe().missing_vectors == 0


def test_the_folders_hold_what_makes_versions_differ() -> None:
    """The golden folders would not prove much without old and new databases, logs, uris, bools, lists and no rows."""
    for version in VERSIONS:
        said = {(one["database"], one["name"]): one for one in said_by(version)}
        assert [len(one["records"]) for one in said.values()].count(0) == 1
        assert (("second", "l2-docs") in said) == (version != "0.4.3")
        values = [
            value for one in said.values() for row in one["records"] for value in (row["metadata"] or {}).values()
        ]
        kinds = {type(value) for value in values}
        assert {int, float, str} <= kinds
        assert (bool in kinds) == (version != "0.4.3")
        assert (list in kinds) == (version == "1.5.9")
        assert any(row["uri"] is not None for one in said.values() for row in one["records"]) == (version != "0.4.3")
        documents = {row["document"] for one in said.values() for row in one["records"]}
        assert {None, "", "changed document"} <= documents


def test_reading_leaves_every_byte_as_it_was(golden: Golden) -> None:
    """No file of an old folder changes, comes or goes, whatever is asked of it: nothing is migrated."""
    before = folders.file_hashes(golden.folder)
    for said in golden.collections:
        for reader in Reader:
            with registry.open_source(golden.address(said), reader) as source:
                read_all(source, slices=3)
                source.describe()
                source.fetch(batches.ids_batch([RecordId(IdKind.STRING, "plain")]))
                assert folders.file_hashes(golden.folder) == before
    assert folders.file_hashes(golden.folder) == before


def test_the_fingerprint_lasts_until_a_file_changes(golden: Golden) -> None:
    """Opened again, a folder has the fingerprint it had; after a write to one of its files another one."""
    said = golden.named("cosine-docs")
    with golden.source(said) as source:
        first = source.fingerprint()
        rows_read(source)
        assert source.fingerprint() == first
    with golden.source(said) as again:
        assert again.fingerprint() == first
    with (index_of(golden, said) / "length.bin").open("ab") as file:
        file.write(b"x")
    with golden.source(said) as changed:
        assert changed.fingerprint() != first


def test_the_metric_is_what_the_index_was_built_with(golden: Golden) -> None:
    """It is told right where the configuration says l2 of a cosine index; a distance that Chroma gave confirms it."""
    for said in golden.collections:
        space = METRICS[said["name"]]
        with golden.source(said) as source:
            [field] = source.describe().vectors
        assert field.metric is BY_SPACE[space]
        assert field.dimension == (5 if said["records"] else None)
        if said["nearest"]:
            query = np.array(said["nearest"]["query"])
            stored = np.frombuffer(bytes.fromhex(said["nearest"]["vector"]), dtype="<f4").astype(np.float64)
            assert nearest_space(query, stored, said["nearest"]["distance"]) == space


def test_records_are_fetched_by_id(golden: Golden) -> None:
    """Present ids come, once each, as `read` gives them; absent ones and empty text do not."""
    said = golden.named("cosine-docs")
    wanted = [*(record["id"] for record in said["records"][::3]), "absent", "", said["records"][0]["id"]]
    with golden.source(said) as source:
        found = {row["id"]: row for row in rows_in(source.fetch(_ids(wanted)))}
    assert found == {text: row for text, row in expected(said).items() if text in wanted}


def _ids(texts: list[str]) -> pa.RecordBatch:
    return batches.ids_batch([RecordId(IdKind.STRING, text) for text in texts])


def test_collections_are_found_by_tenant_and_database(golden: Golden) -> None:
    """Each collection is in its own database, where the version has databases; a missing one names those there are."""
    names = [(said["tenant"], said["database"], said["name"]) for said in golden.collections]
    url = f"chroma+path://{golden.folder}/lacking"
    with pytest.raises(NotFound) as raised:
        registry.open_source(parse(url))
    for tenant, database, name in names:
        assert f"{name} ({tenant}/{database})" in raised.value.advice


def test_the_collections_metadata_is_listed(golden: Golden) -> None:
    """What the collection's metadata says is a feature of the plan; a configuration that lies is not."""
    said = golden.named("cosine-docs")
    with golden.source(said) as source:
        features = {feature.name: feature.value for feature in source.describe().features}
    assert features["collection metadata 'owner'"] == "golden"
    if "hnsw:M" in said["metadata"]:
        assert features["collection metadata 'hnsw:M'"] == "4"
        assert features["configuration 'space'"] == "cosine"


@pytest.mark.slow
def test_an_upgraded_copy_tells_the_same_records_and_still_lies_about_its_metric(
    golden: Golden, tmp_path: Path
) -> None:
    """Today's Chroma upgrades a copy in place: then both readers tell the records that were read from the old folder,
    and the metric that its configuration does not say.
    """
    copy = Golden(shutil.copytree(golden.folder, tmp_path / "copy"), golden.collections)
    for said in golden.collections[:3]:
        space = METRICS[said["name"]]
        with folders.client(copy.folder) as client:
            told = client.get_collection(said["name"], embedding_function=None).configuration["hnsw"]["space"]
        assert told == ("l2" if "hnsw:M" in said["metadata"] else space)
        with golden.source(said) as old, copy.source(said) as upgraded:
            before, after = rows_read(old), rows_read(upgraded)
            assert upgraded.describe().vectors == old.describe().vectors
        with registry.open_target(copy.address(said), Reader.PUBLIC) as public:
            assert rows_read(public) == after
            assert public.describe().vectors == old_field(space)
        assert without_vectors(before) == without_vectors(after)
        assert_close(before, after, ulps=2 if space == "cosine" else 0)


def old_field(space: str) -> tuple[VectorField, ...]:
    return (VectorField(dimension=5, metric=BY_SPACE[space]),)


def without_vectors(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {text: (row["document"], row["payload"]) for text, row in rows.items()}


def assert_close(left: dict[str, dict[str, Any]], right: dict[str, dict[str, Any]], ulps: int) -> None:
    for text, row in left.items():
        pair = [np.frombuffer(bytes.fromhex(one["vector"]), dtype="<f4") for one in (row, right[text])]
        np.testing.assert_array_max_ulp(*pair, maxulp=ulps)


def test_vectors_of_0_4_3_belong_to_their_ids(tmp_path: Path) -> None:
    """Chroma 0.4.3 gives vectors in another order than the ids they were asked by; here each is what was written."""
    golden = unpacked("0.4.3", tmp_path / "folder")
    written: dict[str, bytes] = {}
    with contextlib.closing(sqlite3.connect(golden.folder / "chroma.sqlite3")) as connection:
        entries = connection.execute(
            "SELECT q.operation, q.id, q.vector FROM embeddings_queue AS q JOIN collections AS c ON c.topic = q.topic "
            "WHERE c.name = 'l2-docs' AND q.vector IS NOT NULL ORDER BY q.seq_id"
        )
        for operation, text, vector in entries:
            if operation != ADD or text not in written:
                written[text] = vector
    with golden.source(golden.named("l2-docs")) as source:
        found = rows_read(source)
    assert len(found) == 31
    assert {text: row["vector"] for text, row in found.items()} == {text: written[text].hex() for text in found}


# What is lost, damaged or hostile


def index_of(golden: Golden, said: dict[str, Any]) -> Path:
    with golden.source(said) as source:
        segment = source._collection.info.vector_segment  # type: ignore[attr-defined]
    return golden.folder / segment


def test_an_old_log_still_holds_the_vectors_of_a_lost_index(tmp_path: Path) -> None:
    """Chroma until 0.5.5 never shortens its log: without the index folder every vector is read from there."""
    for version in ("0.4.3", "0.4.24"):
        golden = unpacked(version, tmp_path / version)
        said = golden.named("l2-docs")
        shutil.rmtree(index_of(golden, said))
        with golden.source(said) as source:
            assert rows_read(source) == expected(said)
            assert source.describe().missing_vectors == 0


def test_vectors_behind_the_cut_of_a_file_are_found_in_an_old_log(tmp_path: Path) -> None:
    """Where the index lost some rows alone, these come from the log; a tool that shortened the log loses them."""
    golden = unpacked("0.4.24", tmp_path / "folder")
    said = golden.named("cosine-docs")
    (index_of(golden, said) / "data_level0.bin").write_bytes(b"")
    with golden.source(said) as source:
        assert rows_read(source) == expected(said)
    folders.change_database(golden.folder, "DELETE FROM embeddings_queue WHERE seq_id = 1")
    with golden.source(said) as source:
        described, found = source.describe(), rows_read(source)
    lost = {text for text, row in found.items() if row["vector"] is None}
    assert described.missing_vectors == len(lost) > 10
    assert any("data_level0.bin is cut" in note for note in described.notes)


def test_a_record_that_an_old_log_deletes_and_adds_has_its_new_vector(tmp_path: Path) -> None:
    """Chroma 0.4 gives none where both stand in its log: it takes the id for known, and ignores the second `add`."""
    golden = unpacked("0.4.24", tmp_path / "folder")
    with contextlib.closing(sqlite3.connect(golden.folder / "chroma.sqlite3")) as connection:
        [[uuid]] = connection.execute(
            "SELECT c.id FROM collections AS c JOIN databases AS d ON d.id = c.database_id "
            "WHERE c.name = 'l2-docs' AND d.name = 'default_database'"
        )
    vector = np.arange(5, dtype="<f4")
    for operation, blob in ((DELETE, None), (ADD, vector.tobytes())):
        folders.change_database(
            golden.folder,
            "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata) VALUES (?, ?, ?, ?, ?, ?)",
            *(operation, f"persistent://default/default/{uuid}", "plain", blob, "FLOAT32", "{}"),
        )
    with golden.source(golden.named("l2-docs")) as source:
        [found] = rows_in(source.fetch(_ids(["plain"])))
    assert found == {"id": "plain", "vector": vector.tobytes().hex(), "document": None, "payload": b"{}"}


def test_an_ignored_add_does_not_become_the_vector_of_a_lost_index(tmp_path: Path) -> None:
    """Chroma rebuilds a lost index from the end of its log and gives a record the vector of an `add` that it had
    ignored; here that record has lost its vector, and is counted.
    """
    golden = unpacked("1.5.9", tmp_path / "folder")
    said = golden.named("ip-docs")
    whole = expected(said)["plain"]["vector"]
    shutil.rmtree(index_of(golden, said))
    with golden.source(said) as source:
        assert rows_read(source)["plain"]["vector"] is None
    with folders.client(golden.folder) as client:
        collection = client.get_collection("ip-docs", embedding_function=None)
        [given] = collection.get(ids=["plain"], include=["embeddings"])["embeddings"]
    assert np.asarray(given, dtype="<f4").tobytes().hex() != whole, "Chroma has been repaired"


@pytest.mark.parametrize("damage", ["folder", "truncated", "hostile"])
def test_a_lost_or_hostile_index_loses_vectors_and_nothing_else(golden: Golden, damage: str) -> None:
    """Without folder, with half an id map, or with one that would run code: texts come, lost vectors are counted."""
    said, proof = golden.named("ip-docs"), golden.folder / "ran"
    index = index_of(golden, said)
    file = index / "index_metadata.pickle"
    if damage == "folder":
        shutil.rmtree(index)
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:200])
    else:
        file.write_bytes(b"cos\nmkdir\n(S'" + str(proof).encode() + b"'\ntR.")
    with golden.source(said) as source:
        described, found = source.describe(), rows_read(source)
    whole = expected(said)
    assert without_vectors(found) == without_vectors(whole)
    lost = {text for text, row in found.items() if row["vector"] is None}
    assert described.missing_vectors == len(lost)
    assert all(row["vector"] == whole[text]["vector"] for text, row in found.items() if text not in lost)
    assert bool(lost) == any("index" in note for note in described.notes)
    assert not proof.exists()


# As targets


@pytest.mark.parametrize("version", short(VERSIONS[:-1]))
def test_an_older_folder_is_not_written(version: str, tmp_path: Path) -> None:
    """Opening it through Chroma would upgrade it for good: refused with the way out, and every byte stays."""
    golden = unpacked(version, tmp_path / "folder")
    before = folders.file_hashes(golden.folder)
    field = VectorField(dimension=5, metric=Metric.DOT)
    with registry.open_target(parse(f"chroma+path://{golden.folder}/brand-new")) as target:
        with pytest.raises(StoreRefused, match="would upgrade it in place") as raised:
            target.create(CollectionSchema("any", (field,), frozenset({IdKind.STRING})), {})
        assert "new folder" in raised.value.advice
        with pytest.raises(StoreRefused, match="older Chroma"):
            target.exists()
    assert folders.file_hashes(golden.folder) == before


def test_an_older_folder_with_an_interrupted_write_is_not_written(tmp_path: Path) -> None:
    """What Chroma would settle first, it would upgrade next: a journal beside the file does not hide its age."""
    golden = unpacked("0.6.3", tmp_path / "folder")
    (golden.folder / "chroma.sqlite3-journal").write_bytes(bytes.fromhex("d9d505f920a163d7") + b"rest")
    before = folders.file_hashes(golden.folder)
    with (
        registry.open_target(parse(f"chroma+path://{golden.folder}/brand-new")) as target,
        pytest.raises(StoreRefused, match="older Chroma"),
    ):
        target.exists()
    assert folders.file_hashes(golden.folder) == before
