"""`vecferry demo`: the whole way in one command."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Vecferry


def test_the_demo_goes_there_and_back(vecferry: Vecferry, home: Path, tmp_path: Path) -> None:
    """Verdict same, switched, rolled back, the old store untouched; all of it in the folder that was named."""
    done = vecferry("demo", "--keep", tmp_path / "kept", "--json")
    assert done.code == 0, done.err
    found = done.document
    assert (found["state"], found["verdict"]["state"], found["old_store_untouched"]) == ("ROLLED_BACK", "same", True)
    assert found["switched_to"].startswith("qdrant+edge:")
    assert found["serves"].startswith("numpy:")
    assert not home.exists()
    again = vecferry("status", "--ledger", tmp_path / "kept" / "ledger.db", "--json")
    assert again.document["migration"]["id"] == found["migration"]
    for phase in ("inventory", "export", "load", "validate", "sync"):
        assert f"{phase}: 2,000 of 2,000 records" in done.err


def test_the_demo_writes_over_nothing(vecferry: Vecferry, tmp_path: Path) -> None:
    """A folder that holds something is refused."""
    (tmp_path / "mine").write_text("precious")
    assert vecferry("demo", "--keep", tmp_path).code == 2
    assert (tmp_path / "mine").read_text() == "precious"
