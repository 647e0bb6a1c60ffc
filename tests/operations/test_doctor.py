"""Whether stores are reachable, healthy and allowed: engines that are up, down, ill, locked, or not installed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from tests.support.application import SECRET, Application
from tests.support.chroma_gate import ChromaGate
from tests.support.chroma_server import ChromaServer
from tests.support.milvus_server import MilvusServer
from tests.support.ports import free_port
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.cli.main import main
from vecferry.config import Hooks, StoreConfig, make_config
from vecferry.ledger import Ledger
from vecferry.operations import doctor
from vecferry.operations.checkup import Checkup, Level, failure
from vecferry.operations.migrations import start
from vecferry.stores.qdrant import health as qdrant_health

EMBEDDED = ("numpy", "numpy-tree", "jsonl", "faiss", "qdrant+edge", "chroma+path", "milvus+path")
DATA = generate(30, 8)


def examine(url: str, key: str | None = None, **options: Any) -> Checkup:
    content: dict[str, Any] = {"url": url}
    if key is not None:
        content["api_key"] = {"env": key}
    return doctor.examine_store(StoreConfig.model_validate(content), **options)


def levels(found: Checkup) -> dict[str, Level]:
    """The last level of each thing that was looked at."""
    return {check.what: check.level for check in found.checks}


def said(found: Checkup, what: str) -> str:
    return "; ".join(check.says for check in found.checks if check.what == what)


@pytest.mark.parametrize("kind", EMBEDDED)
def test_a_collection_in_files_or_a_folder_is_read_measured_and_left_alone(kind: str, tmp_path: Path) -> None:
    """Schema, exact count, limits; a scratch collection is made beside it only when asked for, and nothing is left."""
    url = make_source(kind, Place(tmp_path), "docs", DATA)
    found = examine(url)
    assert found.is_well
    assert "30 records; vector: dense 8 float32" in said(found, "collection")
    assert (levels(found)["read"], levels(found)["write"]) == (Level.WELL, Level.WELL)
    assert found.figures["limits"]["store"]
    names = sorted(path.name for path in tmp_path.rglob("*") if "doctor" in path.name)
    assert names == []
    tried = examine(url, write=True)
    assert tried.is_well
    assert "was made, filled, read back and dropped" in said(tried, "write")
    assert [path for path in tmp_path.rglob("*") if "doctor" in path.name] == []
    assert examine(url).figures["rows"] == 30


@pytest.mark.parametrize("kind", ["numpy", "jsonl", "faiss", "chroma+path"])
def test_what_is_read_directly_stays_byte_for_byte(kind: str, tmp_path: Path) -> None:
    """A source is not touched by being looked at."""
    url = make_source(kind, Place(tmp_path), "docs", DATA)
    before = _digests(tmp_path)
    assert examine(url).is_well
    assert _digests(tmp_path) == before


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("scheme", ["numpy", "jsonl", "faiss", "qdrant+edge", "chroma+path", "milvus+path"])
def test_a_collection_that_is_not_there_may_be_a_target(scheme: str, tmp_path: Path) -> None:
    """It is told, with its limits, and nothing is made; only where it must be there it is wrong."""
    url = (
        f"{scheme}://{tmp_path}/{'docs.index' if scheme == 'faiss' else 'docs.jsonl' if scheme == 'jsonl' else 'docs'}"
    )
    found = examine(url)
    assert found.is_well
    assert "not there" in said(found, "collection")
    assert "limits" in found.figures
    assert list(tmp_path.iterdir()) == []
    assert levels(examine(url, must_exist=True))["collection"] is Level.WRONG


@pytest.mark.parametrize(
    "url", ["qdrant://127.0.0.1:{}/docs?rest_port={}", "chroma://127.0.0.1:{}/docs", "milvus://127.0.0.1:{}"]
)
def test_a_server_that_is_down_is_told_at_once(url: str) -> None:
    """Exit code 3 with advice, within the doctor's own time limit, under the URL as it was given."""
    asked = url.format(free_port(), free_port())
    begun_s = time.monotonic()
    found = examine(asked)
    assert time.monotonic() - begun_s < doctor.TIMEOUT_S + 15
    assert levels(found) == {"reachable": Level.WRONG}
    [check] = found.checks
    assert (check.exit_code, check.advice != "") == (3, True)
    assert f"timeout_s={doctor.TIMEOUT_S}" not in check.says


def test_a_wrong_url_and_a_secret_that_is_not_there_are_told() -> None:
    """Each is a check like any other, not the end of the examination."""
    assert [check.exit_code for check in examine("qdrant://h/docs", "NOT_SET_AT_ALL").checks] == [2]
    assert "no store has the scheme" in said(examine("nosuch://h/docs"), "reachable")


def test_a_driver_that_is_not_installed_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The advice is the command that installs it."""
    for name in [name for name in sys.modules if name.startswith("vecferry.stores.faiss_index")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "faiss", None)
    found = examine(f"faiss://{tmp_path}/docs.index")
    check = next(check for check in found.checks if check.level is Level.WRONG)
    assert check.advice == "pip install 'vecferry[faiss]'"


def raw_client(server: QdrantServer) -> QdrantClient:
    """The official client, with the key that writes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(url=server.url, api_key="right", check_compatibility=False)


@pytest.fixture
def qdrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantServer]:
    """A loopback server with a key that writes and one that reads, and one collection."""
    monkeypatch.setenv("DOCTOR_KEY", "right")
    monkeypatch.setenv("DOCTOR_READER", "reader")
    monkeypatch.setenv("DOCTOR_WRONG", "wrong")
    with QdrantServer(tmp_path / "qdrant", "right", read_only_key="reader") as running:
        client = QdrantClient(url=running.url, api_key="right", check_compatibility=False)
        client.create_collection("docs", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
        client.close()
        running.requests.clear()
        yield running


def test_a_qdrant_server_is_looked_at_without_a_write(qdrant: QdrantServer) -> None:
    """Version, wire, an exposed key; the server's own log has no request that writes."""
    found = examine(f"qdrant://127.0.0.1:{qdrant.grpc_port}/docs?rest_port={qdrant.rest_port}", "DOCTOR_KEY")
    assert found.is_well
    assert found.figures["version"]
    assert "reached over grpc" in said(found, "healthy")
    assert "unencrypted" in said(found, "healthy")
    assert levels(found)["write"] is Level.NOT_CHECKED
    assert found.figures["count_s"]["max"] >= found.figures["count_s"]["median"] >= found.figures["count_s"]["min"] > 0
    assert [request.method for request in qdrant.requests if request.is_write] == []


def test_a_server_without_a_collection_is_looked_at_as_a_whole(qdrant: QdrantServer) -> None:
    """Its collections are counted; a scratch collection can be tried there too, and is gone afterwards."""
    url = f"qdrant://127.0.0.1:{qdrant.grpc_port}?rest_port={qdrant.rest_port}"
    found = examine(url, "DOCTOR_KEY", write=True)
    assert found.is_well
    assert found.figures["collections"] == 1
    assert levels(found)["write"] is Level.WELL
    assert examine(url, "DOCTOR_KEY").figures["collections"] == 1


def test_a_wrong_key_is_told_with_advice(qdrant: QdrantServer) -> None:
    """The server answers and refuses: exit code 2, and where to name the key."""
    url = f"qdrant://127.0.0.1:{qdrant.grpc_port}/docs?rest_port={qdrant.rest_port}"
    for key in ("DOCTOR_WRONG", None):
        found = examine(url, key)
        error = failure([found])
        assert error is not None
        assert error.exit_code == 2
        assert "key" in error.advice


def test_a_key_that_only_reads_is_found_by_the_write_check(qdrant: QdrantServer) -> None:
    """Reading is well; the scratch collection is refused, and nothing is left behind."""
    url = f"qdrant://127.0.0.1:{qdrant.grpc_port}/docs?rest_port={qdrant.rest_port}"
    assert examine(url, "DOCTOR_READER").is_well
    found = examine(url, "DOCTOR_READER", write=True)
    assert levels(found)["read"] is Level.WELL
    assert levels(found)["write"] is Level.WRONG
    client = raw_client(qdrant)
    assert [one.name for one in client.get_collections().collections] == ["docs"]
    client.close()


def test_a_collection_that_is_red_is_ill() -> None:
    """What the engine says of itself is told in its own words."""
    info = models.CollectionInfo.model_construct(
        status=models.CollectionStatus.RED, optimizer_status=models.OptimizersStatusOneOf1(error="no space")
    )
    told = list(qdrant_health.ailments(info))
    assert "red" in told[0]
    assert "no space" in told[1]


@pytest.mark.slow
def test_a_chroma_server_is_looked_at_and_a_wrong_token_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version and rights through a gate that checks tokens."""
    monkeypatch.setenv("DOCTOR_KEY", "wrong")
    with ChromaServer(tmp_path / "chroma") as server, ChromaGate(server.port) as gate:
        url = make_source("chroma", Place(tmp_path, chroma_port=server.port), "docs", DATA)
        found = examine(url, write=True)
        assert found.is_well
        assert found.figures["version"]
        assert found.figures["rows"] == 30
        assert levels(found)["write"] is Level.WELL
        gate.wanted = {"X-Chroma-Token": "right"}
        error = failure([examine(gate.url("docs"), "DOCTOR_KEY")])
        assert error is not None
        assert (error.exit_code, "?auth=" in error.advice) == (2, True)


@pytest.mark.slow
def test_a_milvus_server_is_looked_at(tmp_path: Path) -> None:
    """Version, health and rights of the server of milvus-lite."""
    with MilvusServer(tmp_path / "milvus") as server:
        found = examine(f"{server.url}/docs", write=True)
        assert found.is_well
        assert found.figures["version"]
        assert levels(found)["write"] is Level.WELL
        assert examine(server.url).figures["collections"] == 0


def test_a_ledger_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """Absent: told. There: its migrations and its chain. Changed by hand: wrong, exit code 1."""
    file = tmp_path / "ledger.db"
    assert doctor.examine_ledger(str(file)).is_well
    assert not file.exists()
    ledger = Ledger.open(file)
    start(ledger, make_config({"source": "numpy:///data/a.npy", "target": "jsonl:///data/b.jsonl"}))
    found = doctor.examine_ledger(str(file))
    assert found.is_well
    assert found.figures["live"] == 1
    assert found.figures["free_bytes"] > 0
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("UPDATE vecferry_audit SET event = 'nothing' WHERE number = 1")
    connection.close()
    error = failure([doctor.examine_ledger(str(file))])
    assert error is not None
    assert error.exit_code == 1


def test_a_folder_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """Its room is told; a file in its place is wrong."""
    assert doctor.examine_folder(tmp_path / "new" / "archive").is_well
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert not doctor.examine_folder(tmp_path / "file" / "archive").is_well


def test_the_drivers_that_are_installed_are_told_with_versions() -> None:
    """What is missing is a note: it is wrong only for whoever needs it."""
    found = doctor.examine_extras()
    assert found.is_well
    assert "qdrant-client 1." in said(found, "qdrant")


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """An application that can be read back."""
    monkeypatch.setenv("DOCS_HOOK_SECRET", SECRET)
    with Application() as running:
        yield running


def test_hooks_are_looked_at_by_their_read_back_alone(application: Application) -> None:
    """Nobody is paused; an application that fails is wrong."""
    hook = {"webhook": application.hook, "secret": {"env": "DOCS_HOOK_SECRET"}}
    hooks = Hooks.model_validate({"pause": hook, "release": hook, "read_back": hook})
    found = doctor.examine_hooks(hooks, "docs", "numpy:///data/old")
    assert found.is_well
    assert levels(found)["pause, release"] is Level.NOT_CHECKED
    application.memory.faults["read_back"] = ["fail"]
    assert not doctor.examine_hooks(hooks, "docs", "numpy:///data/old").is_well
    assert set(application.memory.actions()) == {"read_back"}


def test_the_command_tells_all_in_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], application: Application
) -> None:
    """Stores of a migration file, archive, hooks, ledger and drivers; exit code of the most serious error."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    source = make_source("jsonl", Place(tmp_path), "docs", DATA)
    content = {
        "source": source,
        "target": f"qdrant+edge://{tmp_path}/new/docs",
        "archive": str(tmp_path / "archive"),
        "hooks": {"read_back": {"webhook": application.hook, "secret": {"env": "DOCS_HOOK_SECRET"}}},
    }
    file = tmp_path / "migration.yaml"
    file.write_text(json.dumps(content))
    words = ["doctor", "--config", str(file), "--write-check", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["well"] is True
    assert len(document["checkups"]) == 6
    assert not (tmp_path / "new").exists() or list((tmp_path / "new").iterdir()) == []
    Path(source.removeprefix("jsonl://")).unlink()
    assert main([*words, f"qdrant://127.0.0.1:{free_port()}/docs?rest_port={free_port()}"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [one["well"] for one in document["checkups"]] == [False, False, True, True, True, True, True]
    assert document["error"]["message"].startswith("2 of 7 not well")


def test_the_command_speaks_to_people_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table for each, with what to do below what is wrong."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    assert main(["doctor", f"archive://{tmp_path}/docs"]) == 2
    out = capsys.readouterr().out
    assert f"archive://{tmp_path}/docs: not well" in out
    assert "extras: well" in out
