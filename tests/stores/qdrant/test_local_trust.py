"""Folders of local mode that must not be trusted, that do not fit, or that somebody has open."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from tests.stores.qdrant.local_folder import at, client_of, make, pickle_of, read_here, write_rows
from vecferry.address import parse
from vecferry.errors import BadOption, BadRecord, DataDiffer, NotFound, RetryLater, StoreRefused
from vecferry.stores import registry
from vecferry.stores.qdrant import local_spool
from vecferry.stores.qdrant.local_reader import Unreadable, unpickled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the client."""
    return tmp_path / "local"


# Trust


class Hostile:
    """A pickle that makes a file when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def test_a_folder_that_is_not_trusted_is_never_opened(folder: Path) -> None:
    """Without the user's word it is refused, with the reason and the option that gives it."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    with pytest.raises(StoreRefused, match="pickles") as refused:
        registry.open_source(at(folder, trusted=False))
    assert "--trust-local-files" in refused.value.advice


def test_a_hostile_pickle_is_refused_and_does_not_run(folder: Path, tmp_path: Path) -> None:
    """Even in a trusted folder a pickle that asks for a program is an error that names it, and nothing runs."""
    trace = tmp_path / "trace"
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    write_rows(folder, [("x", pickle.dumps(Hostile(trace)))])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord, match=r"row 2: .*posix\.system"):
        source.count()
    assert not trace.exists()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (pickle.dumps(os.getcwd), "posix.getcwd"),
        (pickle.dumps(models.Distance.DOT), "Distance"),
        (pickle.dumps({"id": 1}), "no point"),
        (b"cbuiltins\neval\n(S'1+1'\ntR.", "eval"),
        (b"\x80\x04\x82\x01.", "damaged|unregistered"),
        (b"cqdrant_client.http.models.models\nPointStruct\n(S'a'\ntb.", "damaged"),
        (pickle_of(1)[:-30], "damaged"),
        (b"", "damaged"),
        (b"garbage", "damaged"),
        (b"(" * 100_000, "damaged"),
    ],
)
def test_only_data_of_local_mode_is_unpickled(raw: bytes, reason: str) -> None:
    """Functions, other classes, extensions, states of classes and damage are errors, and run nothing."""
    with pytest.raises(Unreadable, match=reason):
        unpickled(raw)


def test_the_reader_has_no_files_no_network_and_no_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs where pickles are opened has given up its rights: told from inside that very process."""
    monkeypatch.setenv("A_SECRET", "hidden")
    probe = (
        "import sys; sys.path.append(sys.argv[1]); import json, os, socket\n"
        "from vecferry.stores.qdrant import local_reader as reader\n"
        "def tell(self, rows, rowid, raw):\n"
        "    found = {'environment': sorted(os.environ)}\n"
        "    for name, act in {'open': lambda: open('/etc/hostname'), 'socket': socket.socket}.items():\n"
        "        try: act(); found[name] = 'works'\n"
        "        except OSError as error: found[name] = error.strerror\n"
        "    raise reader.Unreadable(json.dumps(found))\n"
        "reader.Reading._add = tell\n"
        "reader.main()\n"
    )
    monkeypatch.setattr(local_spool, "_START", probe)
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord) as told:
        source.count()
    found = json.loads(str(told.value).partition(": ")[2])
    assert "A_SECRET" not in found["environment"]
    assert found["open"] == found["socket"] == "Too many open files"


def test_a_point_that_swells_is_stopped(folder: Path) -> None:
    """A pickle of a few hundred bytes that means gigabytes ends where a payload may end, not the machine."""
    nested: Any = "x" * 1000
    for _ in range(9):
        nested = [nested] * 10
    make(folder, [])
    write_rows(folder, [("x", pickle_of(1, payload={"a": [nested] * 1000}))])
    with pytest.raises(Unreadable, match="larger than 64 MiB"):
        read_here(folder)


# Damage


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (pickle_of(1, vector=(1.0,)), "shape"),
        (pickle_of(1, vector=[[1.0, 2.0]]), "shape"),
        (pickle_of(1, vector=["1", "2"]), "no list of numbers"),
        (pickle_of(1, vector={"zz": [1.0, 2.0]}), "'zz'"),
        (pickle_of(1.5), "type float"),
        (pickle_of(True), "type bool"),
        (pickle_of(1, payload={"a": {1: 1, "1": 2}}), "two keys"),
        (pickle_of(1, payload={"a": b"bytes"}), "type bytes"),
    ],
)
def test_points_that_local_mode_cannot_mean_are_named(folder: Path, point: bytes, reason: str) -> None:
    """A point that does not fit its collection is an error that names it."""
    make(folder, [])
    write_rows(folder, [("x", point)])
    with pytest.raises(Unreadable, match=rf"(row|record) .*: .*{reason}"):
        read_here(folder)


def test_a_truncated_database_is_an_error(folder: Path) -> None:
    """A database that was cut is told as damaged; no part of it is taken for the whole."""
    make(folder, [models.PointStruct(id=number, vector=[1.0, 2.0], payload={"t": "x" * 900}) for number in range(40)])
    database = folder / "collection" / "docs" / "storage.sqlite"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord, match=r"malformed|disk image"):
        source.count()


def test_a_broken_write_is_told(folder: Path) -> None:
    """A journal beside the database means that a client died in a write, which only SQLite itself may undo."""
    make(folder, [])
    (folder / "collection" / "docs" / "storage.sqlite-journal").write_bytes(b"x")
    with pytest.raises(StoreRefused, match="died while it wrote"):
        registry.open_source(at(folder))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"collections": []}', "{"])
def test_a_damaged_meta_file_is_told(folder: Path, content: str) -> None:
    """Without a list of collections nothing can be read."""
    make(folder, [])
    (folder / "meta.json").write_text(content)
    with pytest.raises(StoreRefused, match=r"meta\.json"):
        registry.open_source(at(folder))


def test_a_folder_of_dbm_is_told(folder: Path) -> None:
    """Clients before 1.1.7 wrote another form: refused, with the versions that turn it into this one."""
    make(folder, [])
    (folder / "collection" / "docs" / "storage.sqlite").rename(folder / "collection" / "docs" / "storage.dbm")
    with pytest.raises(StoreRefused, match="dbm"):
        registry.open_source(at(folder))


def test_a_live_client_keeps_its_lock(folder: Path) -> None:
    """While a client has the folder open it is RetryLater, the lock stays the client's, and later it works."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    client = client_of(folder)
    with pytest.raises(RetryLater, match="open in a client"):
        registry.open_source(at(folder))
    client.upsert("docs", [models.PointStruct(id=2, vector=[1.0, 2.0])])
    client.close()
    with registry.open_source(at(folder)) as source:
        assert source.count() == 2
        client_of(folder).close()  # a reader holds no lock


@pytest.mark.slow
def test_a_change_after_the_plan_is_seen(folder: Path) -> None:
    """Slices of a folder that was written since are DataDiffer, and the fingerprint is another."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    with registry.open_source(at(folder)) as source:
        before, (part,) = source.fingerprint(), source.slices(1)
        write_rows(folder, [("x", pickle_of(2))])
        assert source.fingerprint() != before
        with pytest.raises(DataDiffer):
            list(source.read(part))
        assert source.count() == 2


@pytest.mark.parametrize("name", ["..", ".", "a/b"])
def test_names_that_leave_the_folder_are_refused(folder: Path, name: str) -> None:
    """A collection's name cannot be a way out of the folder."""
    make(folder, [])
    with pytest.raises(BadOption):
        registry.open_source(at(folder, name))


def test_what_is_not_there_is_not_found(folder: Path) -> None:
    """No folder, no such collection, no database: NotFound; a host or an option is BadOption."""
    with pytest.raises(NotFound):
        registry.open_source(at(folder))
    make(folder, [])
    with pytest.raises(NotFound):
        registry.open_source(at(folder, "other"))
    (folder / "collection" / "docs" / "storage.sqlite").unlink()
    with pytest.raises(NotFound):
        registry.open_source(at(folder))
    for odd in ("qdrant+path://host/dir/docs", f"qdrant+path://{folder}/docs?x=1"):
        with pytest.raises(BadOption):
            registry.open_source(replace(parse(odd), trusted=True))


def test_it_is_no_target(folder: Path) -> None:
    """Writing is refused with the store that does it well."""
    with pytest.raises(StoreRefused, match="read only") as refused:
        registry.open_target(at(folder))
    assert "qdrant+edge" in refused.value.advice
