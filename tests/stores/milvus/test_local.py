"""Folders of milvus-lite: who may open them, what is left of them, and which indexes they get."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vecferry import address
from vecferry.errors import NotFound, RetryLater, StoreRefused
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry
from vecferry.testing import generators
from vecferry.testing.rows import read_all, rows_of

from . import raw
from .users import make_plain

VECTOR = VectorField("", dimension=4, metric=Metric.COSINE)
SCHEMA = CollectionSchema("c", (VECTOR,), frozenset({IdKind.STRING}))
_HOLD = """
import sys
from milvus_lite import MilvusLite
held = MilvusLite(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_looking_at_nothing_makes_nothing(tmp_path: Path) -> None:
    """Asking for a collection in a folder that is not there leaves no folder."""
    url = address.parse(f"milvus+path://{tmp_path}/none/c")
    with registry.open_target(url) as target:
        assert not target.exists()
        assert target.capabilities().id_kinds == {IdKind.STRING, IdKind.INT64}
        target.drop()
    with registry.open_source(url) as source, pytest.raises(NotFound):
        source.count()
    assert not (tmp_path / "none").exists()


def test_a_folder_that_another_process_has_is_worth_another_try(tmp_path: Path) -> None:
    """milvus-lite locks a folder: the second process gets RetryLater, and the folder once the first is gone."""
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        make_plain(client, "c", ["a", "b"])
    url = address.parse(f"milvus+path://{folder}/c")
    command = [sys.executable, "-c", _HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with registry.open_source(url) as source, pytest.raises(RetryLater, match="another process"):
            source.count()
        holder.communicate()
    with registry.open_source(url) as source:
        assert source.count() == 2


def test_handles_of_one_folder_share_its_engine(tmp_path: Path) -> None:
    """Source and target may be in one folder; the engine stops with the last handle, and the folder is free then."""
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        make_plain(client, "one", ["a", "b"])
    source = registry.open_source(address.parse(f"milvus+path://{folder}/one"))
    target = registry.open_target(address.parse(f"milvus+path://{folder}/two"))
    assert source.count() == 2
    target.create(SCHEMA, {})
    source.close()
    target.write(generators.records((VECTOR,), target.capabilities(), 5))
    assert target.count() == 5
    target.close()
    with raw.folder_client(folder) as client:
        assert sorted(client.list_collections()) == ["one", "two"]


def test_a_file_of_the_old_engine_is_refused(tmp_path: Path) -> None:
    """A .db file of milvus-lite 2 is named as such and stays as it is."""
    old = tmp_path / "old.db"
    old.write_bytes(b"SQLite format 3\0")
    with (
        registry.open_source(address.parse(f"milvus+path://{old}/c")) as source,
        pytest.raises(StoreRefused, match="milvus-lite 2"),
    ):
        source.count()
    assert old.read_bytes() == b"SQLite format 3\0"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file is StoreRefused with the path."""
    (tmp_path / "file").write_text("")
    with (
        registry.open_target(address.parse(f"milvus+path://{tmp_path}/file/data/c")) as target,
        pytest.raises(StoreRefused, match="file/data"),
    ):
        target.create(SCHEMA, {})


@pytest.mark.parametrize(
    ("options", "shown"),
    [("", '"index_type":"FLAT"'), ("?index=HNSW&m=8&ef_construct=40", '"M":8'), ("?index=autoindex", "AUTOINDEX")],
)
def test_the_index_is_the_one_asked_for(tmp_path: Path, options: str, shown: str) -> None:
    """FLAT, which is exact, unless the URL says otherwise; records are found through it by the raw client."""
    folder = tmp_path / "data"
    with registry.open_target(address.parse(f"milvus+path://{folder}/c{options}")) as target:
        target.create(SCHEMA, {})
        written = generators.records((VECTOR,), target.capabilities(), 40)
        with target.bulk_load():
            target.write(written)
        assert any(shown in feature.value for feature in target.describe().features)
        assert read_all(target) == rows_of([written])
    with raw.folder_client(folder) as client:
        client.load_collection("c")
        [hits] = client.search("c", data=[[0.5, 0.1, -0.3, 1.0]], limit=3, anns_field="vector")
        assert len(hits) == 3


@pytest.mark.slow
def test_records_of_a_killed_load_are_kept(tmp_path: Path) -> None:
    """After a SIGKILL in the middle of a load everything acknowledged is there, and the load goes on."""
    url = f"milvus+path://{tmp_path}/data/c"
    script = f"""
import os, signal
from vecferry import address
from vecferry.stores import registry
from vecferry.testing import generators
from tests.stores.milvus.test_local import SCHEMA, VECTOR
target = registry.open_target(address.parse({url!r}))
target.create(SCHEMA, {{"m": 1}})
target.begin_load()
target.write(generators.records((VECTOR,), target.capabilities(), 30).slice(0, 20))
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == -9
    with registry.open_target(address.parse(url)) as target:
        assert target.mark() == {"m": 1}
        assert target.count() == 20
        written = generators.records((VECTOR,), target.capabilities(), 30)
        with target.bulk_load():
            target.write(written)
        assert read_all(target) == rows_of([written])
