"""The direct reader on folders that are damaged, in use, interrupted, of another time, or changed meanwhile."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from vecferry.address import parse
from vecferry.errors import BadRecord, DataDiffer, NotFound, StoreRefused
from vecferry.stores import registry
from vecferry.stores.chroma.collection_info import CollectionInfo
from vecferry.stores.chroma.folder import ChromaFolder, KeyRange
from vecferry.stores.chroma.queue_tail import ADD, DELETE, UPDATE, UPSERT, parse_float

from . import folders
from .folders import assert_same, by_chroma, by_us, change_database, file_hashes, open_collection

INDEXED, LOGGED, DIMENSION = 60, 25, 6
EVERYTHING = KeyRange(0, 2**63 - 1, 0)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cosine collection with 60 records in the index files and 25 more in the log."""
    path = tmp_path_factory.mktemp("original")
    numbers = np.random.default_rng(11)
    with folders.client(path) as opened:
        collection = folders.create(opened, "docs", space="cosine", sync_threshold=INDEXED)
        for first, rows in ((0, INDEXED), (INDEXED, LOGGED)):
            wanted = range(first, first + rows)
            collection.add(
                ids=[f"r{number}" for number in wanted],
                embeddings=numbers.standard_normal((rows, DIMENSION)).astype(np.float32),
                documents=[f"document {number}" for number in wanted],
                metadatas=[{"number": number, "ratio": number / 7} for number in wanted],
            )
    return path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "folder"))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A place for copies that Chroma opens."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def info_of(path: Path) -> CollectionInfo:
    """What the reader knows of the collection."""
    with open_collection(path, "docs") as collection:
        return collection.info


def append_to_log(path: Path, operation: int, record: str, vector: list[float] | None, metadata: str) -> None:
    """Leave a change in the log that no segment has taken up, as a kill right after the write does."""
    change_database(
        path,
        "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata) VALUES (?, ?, ?, ?, ?, ?)",
        operation,
        f"persistent://default/default/{info_of(path).uuid}",
        record,
        None if vector is None else np.array(vector, dtype="<f4").tobytes(),
        None if vector is None else "FLOAT32",
        metadata,
    )


# Lost and damaged index files


def lose_folder(index: Path) -> None:
    shutil.rmtree(index)


def lose_id_map(index: Path) -> None:
    (index / "index_metadata.pickle").unlink()


def lose_vectors(index: Path) -> None:
    (index / "data_level0.bin").unlink()


def lose_lengths(index: Path) -> None:
    (index / "length.bin").unlink()


def lose_header(index: Path) -> None:
    (index / "header.bin").write_bytes(b"")


def spoil_id_map(index: Path) -> None:
    (index / "index_metadata.pickle").write_bytes(b"\x80\x03}(X\x02")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lose_folder, "the index folder is missing"),
        (lose_id_map, "index_metadata.pickle is missing"),
        (lose_vectors, "data_level0.bin is missing"),
        (lose_lengths, "length.bin is missing"),
        (lose_header, "header.bin has 0 bytes"),
        (spoil_id_map, "index_metadata.pickle cannot be read"),
    ],
)
def test_lost_vectors_are_reported_and_the_rest_is_read(
    original: Path, folder: Path, damage: Any, problem: str
) -> None:
    """Without the index, records in the log keep their vectors, the others are named, and no text is lost."""
    damage(folder / info_of(folder).vector_segment)
    whole, left = by_us(original, "docs"), by_us(folder, "docs")
    assert (left.ids, left.documents, left.metadata) == (whole.ids, whole.documents, whole.metadata)
    with open_collection(folder, "docs") as collection:
        assert collection.index_problem.startswith(problem)
        rows = next(collection.read(EVERYTHING))
        lost_ids = collection.lost_ids()
        lost_count = collection.lost_count()
    assert rows.lost is not None
    kept = ~rows.lost
    # The log keeps the last entry that the index took up: one record of the 60 comes back.
    still_logged = 1 if "pickle" in problem or damage is lose_folder else 0
    assert lost_count == len(lost_ids) == int(rows.lost.sum()) == INDEXED - still_logged
    assert lost_ids == [text for text, gone in zip(left.ids, rows.lost, strict=True) if gone]
    assert np.array_equal(left.vectors[kept], whole.vectors[kept])
    assert not left.vectors[rows.lost].any()


def test_what_is_left_after_a_loss_is_what_chroma_has_left(folder: Path, scratch: Path) -> None:
    """Chroma rebuilds from its log the same vectors that are read here, and fails on the others."""
    lose_folder(folder / info_of(folder).vector_segment)
    with open_collection(folder, "docs") as collection:
        rows = next(collection.read(EVERYTHING))
    assert rows.lost is not None
    kept = [text for text, gone in zip(rows.ids.to_pylist(), rows.lost, strict=True) if not gone]
    lost = [text for text, gone in zip(rows.ids.to_pylist(), rows.lost, strict=True) if gone]
    with folders.copied(folder, scratch) as opened:
        collection = folders.opened_collection(opened, "docs")
        theirs = np.asarray(collection.get(ids=kept, include=["embeddings"])["embeddings"], dtype=np.float32)
        with pytest.raises(Exception, match="Error finding id"):
            collection.get(ids=lost[:1], include=["embeddings"])
    assert rows.vectors is not None
    assert np.array_equal(rows.vectors[~rows.lost].view(np.uint32), theirs.view(np.uint32))


def test_a_cut_vector_file_loses_only_what_was_cut(original: Path, folder: Path) -> None:
    """Records in front of the cut keep their vectors."""
    index = folder / info_of(folder).vector_segment
    record_bytes = int.from_bytes((index / "header.bin").read_bytes()[28:36], "little")
    os.truncate(index / "data_level0.bin", 30 * record_bytes + 17)
    whole, left = by_us(original, "docs"), by_us(folder, "docs")
    with open_collection(folder, "docs") as collection:
        assert collection.index_problem == f"data_level0.bin is cut after row 30 of {INDEXED}"
        lost = next(collection.read(EVERYTHING)).lost
    assert lost is not None
    assert int(lost.sum()) == 30
    assert np.array_equal(left.vectors[~lost], whole.vectors[~lost])


def test_a_pickle_that_names_code_runs_nothing(folder: Path) -> None:
    """An id map that would call a function is taken for damaged, and the function is not called."""
    proof = folder / "ran"
    file = folder / info_of(folder).vector_segment / "index_metadata.pickle"
    file.write_bytes(b"cos\nmkdir\n(S'" + str(proof).encode() + b"'\ntR.")
    with open_collection(folder, "docs") as collection:
        assert "posix.mkdir" in collection.index_problem or "os.mkdir" in collection.index_problem
        assert collection.lost_count() == INDEXED - 1
    assert not proof.exists()


def test_an_id_map_in_the_form_of_older_chromas_is_read(original: Path, folder: Path) -> None:
    """Chroma 0.4-0.6 pickled an object of its own class; its upgrade keeps that file."""
    file = folder / info_of(folder).vector_segment / "index_metadata.pickle"
    content = pickle.loads(file.read_bytes())
    content["max_seq_id"] = INDEXED
    change_database(folder, "DELETE FROM max_seq_id WHERE segment_id = ?", info_of(folder).vector_segment)
    with _persistent_data() as kind:
        state = kind()
        vars(state).update(content)
        file.write_bytes(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
    assert_same(by_us(folder, "docs"), by_us(original, "docs"))


@contextmanager
def _persistent_data() -> Iterator[type]:
    """A class that pickles under the name of Chroma's."""
    name = "chromadb.segment.impl.vector.local_persistent_hnsw"
    saved, module = sys.modules.get(name), types.ModuleType(name)
    kind = type("PersistentData", (), {"__module__": name})
    module.PersistentData = kind  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        yield kind
    finally:
        if saved is None:
            del sys.modules[name]
        else:
            sys.modules[name] = saved


def test_an_unknown_index_layout_is_refused(folder: Path) -> None:
    """Another version of the index files is an error, not lost vectors."""
    file = folder / info_of(folder).vector_segment / "header.bin"
    file.write_bytes(b"\x02" + file.read_bytes()[1:])
    with open_collection(folder, "docs") as collection, pytest.raises(StoreRefused, match="layout that is not known"):
        collection.lost_count()


# Changes that only the log has


def test_changes_that_no_segment_took_up_are_read(folder: Path, scratch: Path) -> None:
    """After a kill between log and segments, Chroma and the reader replay every kind of change alike."""
    vector = [0.1, -0.2, 0.3, 0.4, -0.5, 0.6]
    changes: list[tuple[int, str, list[float] | None, str]] = [
        (
            ADD,
            "new",
            vector,
            '{"chroma:document":"new document","ratio":90.28571428571429,"n":1,"l":[0.1,90.28571428571429]}',
        ),
        (ADD, "r1", vector, '{"ignored":true}'),
        (UPDATE, "r2", None, '{"number":null,"ratio":[1,2,3],"zero":-0.0,"big":1e300,"small":4.95e-7}'),
        (UPDATE, "r3", vector, '{"chroma:document":"changed","chroma:uri":"file:///r3"}'),
        (UPDATE, "never", vector, '{"ignored":true}'),
        (UPSERT, "r70", vector, '{"mixed":[1.0,2.5],"tags":["a","b"],"flag":false}'),
        (UPSERT, "other", vector, "{}"),
        (DELETE, "r4", None, "{}"),
        (DELETE, "r5", None, "{}"),
        (ADD, "r5", vector, '{"again":1}'),
        (UPSERT, "gone", vector, '{"a":1}'),
        (DELETE, "gone", None, "{}"),
        (DELETE, "never", None, "{}"),
        (UPDATE, "new", None, '{"n":2,"l":["now","text"],"ratio":123456789012345680.0}'),
    ]
    for change in changes:
        append_to_log(folder, *change)
    ours = by_us(folder, "docs", slices=3, batch_rows=10)
    assert ours.ids[-3:] == ["new", "other", "r5"]
    assert_same(ours, by_chroma(folder, "docs", scratch))
    with open_collection(folder, "docs") as collection:
        assert collection.count() == INDEXED + LOGGED - 2 + 3
        fetched = collection.fetch(["r4", "r5", "new", "gone", "r2"])
    assert fetched.ids.to_pylist() == ["r2", "new", "r5"]


@pytest.mark.parametrize("text", ["90.28571428571429", "4.95e-7", "1e300", "5e-324", "1.7976931348623157e308", "-0.1"])
def test_decimal_text_becomes_the_double_that_chroma_makes(folder: Path, scratch: Path, text: str) -> None:
    """Numbers in the log are parsed as Chroma parses them, not as Python does."""
    append_to_log(folder, UPDATE, "r1", None, f'{{"value":{text}}}')
    with folders.copied(folder, scratch) as opened:
        answer = folders.opened_collection(opened, "docs").get(ids=["r1"], include=["metadatas"])
    assert parse_float(text) == answer["metadatas"][0]["value"]


def test_many_random_decimals_become_the_doubles_that_chroma_makes(folder: Path, scratch: Path) -> None:
    """2,000 doubles of random bits that Chroma parses are predicted to the bit; some are not the nearest double."""
    bits = np.random.default_rng(5).integers(0, 2**64, 2200, dtype=np.uint64).view(np.float64)
    texts = [orjson.dumps(value).decode() for value in bits[np.isfinite(bits)][:2000].tolist()]
    append_to_log(folder, UPDATE, "r1", None, "{" + ",".join(f'"k{n:04}":{text}' for n, text in enumerate(texts)) + "}")
    with folders.copied(folder, scratch) as opened:
        answer = folders.opened_collection(opened, "docs").get(ids=["r1"], include=["metadatas"])["metadatas"][0]
    theirs = [answer[f"k{number:04}"] for number in range(len(texts))]
    assert [parse_float(text) for text in texts] == theirs
    assert theirs != [float(text) for text in texts]


@pytest.mark.parametrize("metadata", ['{"bad":[null,1.0]}', '{"bad":[1,"a"]}', '{"bad":{"x":1}}'])
def test_metadata_that_chroma_cannot_read_is_named(folder: Path, metadata: str) -> None:
    """A value that Chroma wrote and cannot read again is one clear error with record and key."""
    append_to_log(folder, UPSERT, "poisoned", [0.0] * DIMENSION, metadata)
    with ChromaFolder(folder) as opened, pytest.raises(BadRecord, match=r"record 'poisoned' .* under 'bad'"):
        opened.collection("docs")


def test_a_logged_vector_of_the_wrong_size_is_named(folder: Path) -> None:
    """A vector in the log that does not fit the dimension is an error with its entry."""
    append_to_log(folder, UPSERT, "short", [1.0, 2.0], "{}")
    with open_collection(folder, "docs") as collection, pytest.raises(BadRecord, match=r"8 bytes .* not 6 float32"):
        list(collection.read(EVERYTHING))


# Folders that must be left alone


def test_a_folder_that_this_process_writes_to_is_refused(folder: Path) -> None:
    """Chroma's client in the same process: opening and closing the file would drop its locks."""
    with folders.client(folder), pytest.raises(StoreRefused, match=rf"in use by .*pid {os.getpid()}"):
        ChromaFolder(folder)


def test_a_folder_that_a_server_has_open_is_refused(folder: Path) -> None:
    """A writer in another process is named, though an idle Chroma holds no lock."""
    program = "import sys; f = open(sys.argv[1], 'r+b'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(folder / "chroma.sqlite3")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreRefused, match=rf"pid {other.pid}"):
            ChromaFolder(folder)
        other.communicate()
    assert by_us(folder, "docs").ids


def test_two_readers_do_not_disturb_each_other(folder: Path) -> None:
    """A second reader of the same folder is no writer."""
    with ChromaFolder(folder) as first, ChromaFolder(folder) as second:
        assert first.collection("docs").count() == second.collection("docs").count() == INDEXED + LOGGED


def killed_in(folder: Path, place: Path, *statements: str) -> Path:
    """The folder as a kill leaves it after these statements: copied while the connection is still open."""
    with closing(sqlite3.connect(folder / "chroma.sqlite3", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        shutil.copytree(folder, place)
    (place / "chroma.sqlite3-shm").unlink(missing_ok=True)
    return place


def test_an_unfinished_write_is_undone_in_a_copy(original: Path, folder: Path, tmp_path: Path) -> None:
    """A write that a kill interrupted counts as never begun; the journal stays for Chroma, as every file does."""
    spoil = "UPDATE embedding_metadata SET string_value = 'half written', int_value = NULL, float_value = NULL"
    killed = killed_in(folder, tmp_path / "killed", "PRAGMA cache_size = 1", "BEGIN", spoil)
    assert (killed / "chroma.sqlite3").read_bytes() != (original / "chroma.sqlite3").read_bytes()
    assert (killed / "chroma.sqlite3-journal").stat().st_size > 512
    before = file_hashes(killed)
    assert_same(by_us(killed, "docs"), by_us(original, "docs"))
    assert file_hashes(killed) == before


def test_a_finished_write_beside_the_database_counts(original: Path, folder: Path, tmp_path: Path) -> None:
    """What is committed and still in the write-ahead log is read, from a copy that is gone afterwards."""
    change = "UPDATE embedding_metadata SET string_value = 'late' WHERE key = 'chroma:document'"
    killed = killed_in(folder, tmp_path / "killed", "PRAGMA journal_mode = WAL", change)
    before, others = file_hashes(killed), set(Path(tempfile.gettempdir()).glob("vecferry-chroma-*"))
    found = by_us(killed, "docs")
    assert set(found.documents) == {"late"}
    assert found.metadata == by_us(original, "docs").metadata
    assert file_hashes(killed) == before
    assert set(Path(tempfile.gettempdir()).glob("vecferry-chroma-*")) == others
    with registry.open_source(parse(f"chroma+path://{killed}/docs")) as source:
        assert any("interrupted write" in note for note in source.describe().notes)


def test_a_database_in_wal_mode_is_read_without_side_files(original: Path, folder: Path) -> None:
    """Where sqlite would make -wal and -shm files, none appears."""
    change_database(folder, "PRAGMA journal_mode = WAL")
    before = file_hashes(folder)
    assert_same(by_us(folder, "docs"), by_us(original, "docs"))
    assert file_hashes(folder) == before


@pytest.mark.parametrize("file", ["chroma.sqlite3", "data_level0.bin"])
def test_a_write_during_the_read_is_noticed(folder: Path, file: str) -> None:
    """When the folder changes between two batches, the next one is an error and the fingerprint another."""
    with open_collection(folder, "docs") as collection:
        batches = collection.read(EVERYTHING, batch_rows=10)
        next(batches)
        before = collection.fingerprint()
        target = next(folder.rglob(file))
        os.utime(target, ns=(0, target.stat().st_mtime_ns + 1))
        with pytest.raises(DataDiffer, match="written to while it was read"):
            next(batches)
    with open_collection(folder, "docs") as again:
        assert again.fingerprint() != before


def test_what_is_no_chroma_folder_is_not_made_one(tmp_path: Path) -> None:
    """An empty or absent folder and a foreign sqlite file are errors and stay as they are."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotFound, match=r"no chroma\.sqlite3"):
            ChromaFolder(path)
    change_database(tmp_path, "CREATE TABLE other (x)")
    with pytest.raises(StoreRefused, match="not a Chroma database"):
        ChromaFolder(tmp_path)
    assert list(file_hashes(tmp_path)) == ["chroma.sqlite3"]


def test_a_file_that_is_no_database_is_refused(folder: Path) -> None:
    """A damaged sqlite file is one clear error."""
    (folder / "chroma.sqlite3").write_bytes(b"no database at all, but long enough to look at" * 50)
    with pytest.raises(StoreRefused, match="cannot be read"):
        ChromaFolder(folder)


@pytest.mark.parametrize(
    ("directory", "change", "age"),
    [("sysdb", -20, "an older"), ("metadb", 10, "a newer"), ("embeddings_queue", 10, "a newer")],
)
def test_folders_of_unknown_chromas_are_refused(folder: Path, directory: str, change: int, age: str) -> None:
    """Tables of another layout than those of 0.4.3 to 1.5 are not guessed at."""
    change_database(folder, "UPDATE migrations SET version = version + ? WHERE dir = ?", change, directory)
    with pytest.raises(StoreRefused, match=f"{age} Chroma"):
        ChromaFolder(folder)


def test_the_metric_of_a_collection_made_by_an_old_chroma_is_the_built_one(
    original: Path, folder: Path, scratch: Path
) -> None:
    """Where the settings say l2 by default, the segment's metadata tells what the index was built with."""
    info = info_of(folder)
    settings = {"vector_index": {"hnsw": {"space": "l2"}}, "embedding_function": None}
    change_database(folder, "UPDATE collections SET schema_str = NULL, config_json_str = ?", json.dumps(settings))
    change_database(
        folder,
        "INSERT INTO segment_metadata (segment_id, key, str_value) VALUES (?, 'hnsw:space', 'cosine')",
        info.vector_segment,
    )
    assert info_of(folder).space == "cosine"
    assert_same(by_us(folder, "docs"), by_us(original, "docs"))
    assert_same(by_us(folder, "docs"), by_chroma(folder, "docs", scratch))
