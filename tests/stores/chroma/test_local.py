"""Chroma folders as stores: who may use one at once, what is left untouched, and what a kill leaves."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.chroma_server import ChromaServer
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.contract import Reader
from vecferry.errors import BadOption, BadRecord, NotFound, StoreRefused
from vecferry.model import ALL_PARTS, CollectionSchema, IdKind, Metric, RecordId, Slice, VectorField
from vecferry.stores import registry
from vecferry.testing.rows import read_all, rows_of

from . import folders

DIMENSION = 6


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection `docs` of 40 records in the index files and 10 more in the log; `empty` has none."""
    path = tmp_path_factory.mktemp("original")
    with folders.client(path) as opened:
        collection = folders.create(opened, "docs", space="ip", sync_threshold=40)
        for first, rows in ((0, 40), (40, 10)):
            batch = records(first, rows)
            collection.add(
                ids=batch.column(batches.ID).to_pylist(),
                embeddings=batches.dense_column(batch).values,
                documents=batches.documents_list(batch),
                metadatas=[canonical.decode(text) for text in batches.payloads(batch)],
            )
        folders.create(opened, "empty")
    return path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(original, tmp_path / "folder"))


def address(folder: Path, name: str = "docs") -> Address:
    return parse(f"chroma+path://{folder}/{name}")


def records(first: int, rows: int) -> pa.RecordBatch:
    numbers = np.random.default_rng(first)
    return batches.make(
        [f"r{row}" for row in range(first, first + rows)],
        IdKind.STRING,
        vectors={"": batches.dense_array(numbers.standard_normal((rows, DIMENSION)).astype(np.float32))},
        documents=[f"document {row}" for row in range(first, first + rows)],
        payloads=canonical.encode_many([{"n": row, "tags": ["a", str(row)]} for row in range(first, first + rows)]),
    )


def schema() -> CollectionSchema:
    return CollectionSchema("any", (VectorField(dimension=DIMENSION, metric=Metric.DOT),), frozenset({IdKind.STRING}))


def test_reading_a_source_leaves_every_byte_as_it_was(folder: Path) -> None:
    """Everything is read by either reader, and no file of the folder changes, comes or goes."""
    before = folders.file_hashes(folder)
    for reader in Reader:
        with registry.open_source(address(folder), reader) as source:
            found = read_all(source, slices=3)
            source.fetch(batches.ids_batch([RecordId(IdKind.STRING, "r3")]))
            source.describe()
        assert found == rows_of([records(0, 40), records(40, 10)])
    assert folders.file_hashes(folder) == before


def test_lost_vectors_are_null_and_counted(folder: Path) -> None:
    """A record whose vector is lost keeps document and payload, read directly and through Chroma's own client."""
    with registry.open_source(address(folder)) as source:
        whole = read_all(source)
    [index] = [path.parent for path in folder.rglob("index_metadata.pickle")]
    shutil.rmtree(index)
    with registry.open_source(address(folder)) as source:
        described, direct = source.describe(), read_all(source, slices=2)
    with registry.open_target(address(folder), Reader.PUBLIC) as public:
        shown = read_all(public, slices=2)
        everything = public.fetch(batches.ids_batch(whole))
    lost = {item for item, row in direct.items() if row.vectors[""] is None}
    assert described.missing_vectors == len(lost) == 39
    assert any("the index folder is missing" in note for note in described.notes)
    assert shown == direct == rows_of([everything])
    assert {item: (row.document, row.payload) for item, row in direct.items()} == {
        item: (row.document, row.payload) for item, row in whole.items()
    }
    assert {item: row for item, row in whole.items() if item not in lost} == {
        item: row for item, row in direct.items() if item not in lost
    }


def test_hidden_metadata_is_listed(folder: Path) -> None:
    """A value that Chroma stores and never shows is named as a feature that is not carried."""
    with folders.client(folder) as opened:
        collection = folders.opened_collection(opened, "docs")
        collection.upsert(ids=["r1"], embeddings=np.ones((1, DIMENSION)), metadatas=[{"chroma:odd": True, "n": 1}])
    with registry.open_source(address(folder)) as source:
        assert "hidden metadata 'chroma:odd'" in {feature.name for feature in source.describe().features}


def test_a_collection_without_documents_says_so(folder: Path) -> None:
    """`has_document` of a folder is looked up: the rest of the folder does not count."""
    with registry.open_source(address(folder, "empty")) as empty, registry.open_source(address(folder)) as docs:
        assert not empty.describe().has_document
        assert docs.describe().has_document
        assert empty.slices(3)[0].rows == 0
        assert empty.fetch(batches.ids_batch([RecordId(IdKind.STRING, "r1")])).num_rows == 0


def test_one_folder_is_not_source_and_target_at_once(folder: Path) -> None:
    """Read directly and written in one process, it is refused, whichever came first; one after the other is fine."""
    with registry.open_source(address(folder)) as source:
        refusal = pytest.raises(StoreRefused, match="read directly and written in one process")
        with registry.open_target(address(folder, "other")) as target, refusal:
            target.create(schema(), {})
        assert source.count() == 50
    with registry.open_target(address(folder, "other")) as target:
        target.create(schema(), {})
        with pytest.raises(StoreRefused, match="read directly and written in one process"):
            registry.open_source(address(folder))
        target.write(records(0, 3))
    with registry.open_source(address(folder, "other")) as source:
        assert read_all(source) == rows_of([records(0, 3)])


def test_two_handles_of_a_folder_share_the_engine(folder: Path) -> None:
    """A collection written through one handle is seen through another, and closing one leaves the other open."""
    with registry.open_target(address(folder)) as one, registry.open_target(address(folder)) as two:
        one.write(records(60, 5))
        assert two.count() == 55
        one.close()
        two.write(records(70, 5))
        assert two.count() == 60


def test_a_folder_of_a_running_server_is_not_written(chroma: ChromaServer) -> None:
    """A second writer would break the server's reads: it is refused, and the server is named as the way."""
    with registry.open_target(address(chroma.folder, "second")) as target:
        with pytest.raises(StoreRefused, match="in use by") as raised:
            target.create(schema(), {})
        assert "chroma://" in raised.value.advice


def test_a_folder_of_an_older_chroma_is_not_upgraded(folder: Path) -> None:
    """Opening it through Chroma would change it for good: refused, and every byte stays."""
    with closing(sqlite3.connect(folder / "chroma.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM migrations WHERE dir = 'sysdb' AND version > 8")
    before = folders.file_hashes(folder)
    with registry.open_target(address(folder)) as target, pytest.raises(StoreRefused, match="older Chroma"):
        target.describe()
    assert folders.file_hashes(folder) == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """Where a file is in the way, `create` says so."""
    (tmp_path / "file").write_text("in the way")
    with registry.open_target(address(tmp_path / "file")) as target, pytest.raises(StoreRefused, match="cannot open"):
        target.create(schema(), {})


def test_looking_for_a_target_makes_no_folder(tmp_path: Path) -> None:
    """Neither opening, asking nor dropping makes a folder where none is."""
    with registry.open_target(address(tmp_path / "none")) as target:
        assert not target.exists()
        target.drop()
        with pytest.raises(NotFound):
            target.describe()
    assert not (tmp_path / "none").exists()


def test_slices_of_the_client_are_not_read_directly(folder: Path) -> None:
    """A range of ids is no range of keys: an error, not an empty slice."""
    with registry.open_source(address(folder)) as source, pytest.raises(BadRecord, match="cannot read the slice"):
        list(source.read(Slice(0, {"from": None, "to": None}), ALL_PARTS))


@pytest.mark.parametrize("url", ["chroma+path://host/c", "chroma+path:///dir/collection?metric=ip"])
def test_a_wrong_url_is_refused(url: str) -> None:
    """A host, or an option that a folder does not take."""
    with pytest.raises(BadOption):
        registry.open_source(parse(url))


def test_tenant_and_database_are_kept_apart(folder: Path) -> None:
    """The same name in another database is another collection; a missing database is NotFound."""
    with folders.client(folder) as opened:
        opened._admin_client.create_database("second")
    url = f"chroma+path://{folder}/docs"
    with registry.open_target(parse(f"{url}?database=second")) as target:
        assert not target.exists()
        target.create(schema(), {"m": 1})
        target.write(records(0, 3))
    with registry.open_source(parse(f"{url}?database=second")) as source:
        assert (source.count(), source.describe().mark) == (3, {"m": 1})
    with registry.open_source(parse(url)) as source:
        assert (source.count(), source.describe().mark) == (50, None)
    with registry.open_target(parse(f"{url}?tenant=nobody")) as target, pytest.raises(NotFound):
        target.create(schema(), {})


_WRITER = """
import sys
from tests.stores.chroma.test_local import address, records, schema
from vecferry.stores import registry
from pathlib import Path
target = registry.open_target(address(Path(sys.argv[1]), "docs"))
target.create(schema(), {})
for first in range(0, 4000, 200):
    target.write(records(first, 200))
    print(first, flush=True)
"""


@pytest.mark.slow
def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    """After SIGKILL every acknowledged batch is there, and the load goes on in another process to the whole."""
    folder = tmp_path / "folder"
    command = [sys.executable, "-c", _WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as writer:
        assert writer.stdout is not None
        for wanted in (b"0\n", b"200\n", b"400\n"):
            assert writer.stdout.readline() == wanted
        os.kill(writer.pid, signal.SIGKILL)
    acknowledged = [records(first, 200) for first in (0, 200, 400)]
    with registry.open_target(address(folder), Reader.PUBLIC) as target:
        found = read_all(target)
        assert rows_of(acknowledged).items() <= found.items()
        rest = [records(first, 200) for first in range(400, 1400, 200)]
        for batch in rest:
            target.write(batch)
    with registry.open_source(address(folder)) as source:
        written = read_all(source)
    assert rows_of(acknowledged[:2] + rest).items() <= written.items()
    assert found.keys() <= written.keys()
