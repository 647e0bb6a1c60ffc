"""A migration's life after its start: approve, resume, abort, rollback, discard, status, list, route."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Vecferry, write_files
from vecferry import address
from vecferry import batch as columns
from vecferry.stores import registry


def _waiting(vecferry: Vecferry, source: str, target: str) -> str:
    """A migration that stopped for its approval; its id."""
    done = vecferry("migrate", "--source", source, "--target", target, "--metric", "cosine", "--json")
    assert done.code == 3, done.err
    return str(done.document["migration"]["id"])


def _switched(vecferry: Vecferry, source: str, target: str) -> str:
    done = vecferry(
        "migrate", "--source", source, "--target", target, "--metric", "cosine", "--approve", "auto", "--json"
    )
    assert done.code == 0, done.err
    return str(done.document["migration"]["id"])


def _delete_one(url: str) -> None:
    """What an application does to the new store after the switch."""
    with registry.open_target(address.parse(url)) as target:
        ids = next(iter(target.read(target.slices(1)[0], frozenset(), 1)))
        target.delete(columns.ids_of(ids))


def test_without_a_terminal_the_run_stops_ready_and_names_both_commands(
    vecferry: Vecferry, source: str, edge: str
) -> None:
    """Nobody can be asked, so nothing is switched: exit 3, state READY, approve and resume are named."""
    done = vecferry("migrate", "--source", source, "--target", edge, "--metric", "cosine")
    assert done.code == 3
    assert ": READY" in done.out
    assert "vecferry approve docs-to-qdrant" in done.err
    assert "then vecferry resume docs-to-qdrant" in done.err
    assert vecferry("route", "docs").out.strip() == source


def test_a_yes_given_between_runs_is_taken_by_resume(vecferry: Vecferry, source: str, edge: str) -> None:
    """`approve` writes the answer, `resume` finds it and asks nobody again."""
    name = _waiting(vecferry, source, edge)
    answered = vecferry("approve", name, "--json")
    assert answered.code == 0
    assert answered.document["answer"] == "approved"
    assert answered.document["next_commands"][0] == f"vecferry resume {name}"
    assert any("way back" in line for line in answered.document["form"])
    done = vecferry("resume", name, "--json")
    assert done.code == 0, done.err
    assert done.document["migration"]["state"] == "SWITCHED"
    assert vecferry("route", "docs").out.strip() == edge


def test_a_no_stops_the_switch_until_somebody_says_yes(vecferry: Vecferry, source: str, edge: str) -> None:
    """After `approve --reject` a resume asks again (and stops); a yes after that is taken."""
    name = _waiting(vecferry, source, edge)
    assert vecferry("approve", name, "--reject").code == 0
    assert vecferry("resume", name).code == 3
    assert vecferry("approve", name).code == 0
    assert vecferry("resume", name).code == 0


def test_resume_does_no_finished_slice_again(vecferry: Vecferry, source: str, edge: str) -> None:
    """A resumed run exports and loads nothing that is exported and loaded."""
    name = _waiting(vecferry, source, edge)
    vecferry("approve", name)
    parts = vecferry("status", name, "--detailed", "--json").document["slice_list"]
    done = vecferry("resume", name)
    assert done.code == 0
    assert "export: 60 of 60 records\n" in done.err
    assert "/s" not in next(line for line in done.err.splitlines() if line.startswith("export:"))
    assert vecferry("status", name, "--detailed", "--json").document["slice_list"] == parts


def test_a_source_that_changed_before_the_switch_is_carried_over(
    vecferry: Vecferry, source: str, edge: str, tmp_path: Path
) -> None:
    """A record written to the old store while the question waits arrives in the new one under the pause."""
    name = _waiting(vecferry, source, edge)
    file = tmp_path / "old" / "docs.jsonl"
    text = file.read_text().splitlines()
    file.write_text("\n".join([*text[:3], json.dumps({"id": "doc-3", "text": "changed"}), *text[4:]]) + "\n")
    vecferry("approve", name)
    done = vecferry("resume", name, "--json")
    assert (done.code, done.document["migration"]["state"]) == (0, "SWITCHED")
    assert vecferry("route", "docs").out.strip() == edge
    assert vecferry("verify", "--source", source, "--target", edge, "--metric", "cosine").code == 0


def test_an_approval_that_nobody_asked_for_is_refused(vecferry: Vecferry, source: str, edge: str) -> None:
    """Only a migration that waits at READY can be approved: exit 5."""
    name = _switched(vecferry, source, edge)
    assert vecferry("approve", name).code == 5


def test_abort_ends_a_migration_once(vecferry: Vecferry, source: str, edge: str) -> None:
    """An aborted migration drops nothing, cannot be resumed or aborted again (exit 5), and can be discarded."""
    name = _waiting(vecferry, source, edge)
    aborted = vecferry("abort", name, "--json")
    assert aborted.code == 0
    assert aborted.document["state"] == "ABORTED"
    assert vecferry("resume", name).code == 5
    assert vecferry("abort", name).code == 5
    dropped = vecferry("discard", name, "--json")
    assert (dropped.document["migration"], dropped.document["discarded"]) == (name, edge)


def test_rollback_restores_the_route_and_drops_nothing(vecferry: Vecferry, source: str, edge: str) -> None:
    """The old store serves again, the new one is still there, until discard."""
    name = _switched(vecferry, source, edge)
    refused = vecferry("discard", name)
    assert refused.code == 5
    back = vecferry("rollback", name, "--json")
    assert back.code == 0, back.err
    assert back.document["migration"]["state"] == "ROLLED_BACK"
    assert [back.document["way_back"][word] for word in ("new", "changed", "deleted")] == [0, 0, 0]
    assert vecferry("route", "docs").out.strip() == source
    assert vecferry("verify", "--source", source, "--target", edge, "--metric", "cosine").code == 0
    assert vecferry("discard", name).code == 0
    assert vecferry("verify", "--source", source, "--target", edge, "--metric", "cosine").code == 2


@pytest.mark.slow
def test_rollback_takes_a_write_along_and_a_dry_run_tells_of_it_before(
    vecferry: Vecferry, source: str, edge: str
) -> None:
    """A record deleted from the new store is counted by --dry-run, which changes nothing; then it is gone in the old
    store as well: in a copy beside its files, which are not touched."""
    name = _switched(vecferry, source, edge)
    _delete_one(edge)
    foreseen = vecferry("rollback", name, "--dry-run", "--json")
    assert foreseen.code == 0, foreseen.err
    assert (foreseen.document["would_be"]["deleted"], foreseen.document["copies_files"]) == (1, True)
    assert vecferry("route", "docs").out.strip() == edge
    back = vecferry("rollback", name, "--json")
    assert back.code == 0, back.err
    assert back.document["way_back"]["deleted"] == 1
    assert vecferry("route", "docs").out.strip() == foreseen.document["leads_to"] == back.document["way_back"]["url"]


def test_two_answers_to_conflicts_are_refused(vecferry: Vecferry, source: str, edge: str) -> None:
    """One side wins, or a file decides each; and a side is old or new."""
    name = _switched(vecferry, source, edge)
    assert vecferry("rollback", name, "--prefer", "new", "--conflicts", "file.jsonl").code == 2
    assert vecferry("rollback", name, "--prefer", "newest").code == 2


def test_the_start_of_an_id_names_a_migration(vecferry: Vecferry, source: str, edge: str) -> None:
    """Where only one id starts so, the rest need not be typed; an unknown one is exit 2 with the nearest."""
    name = _waiting(vecferry, source, edge)
    assert vecferry("status", name[:9], "--json").document["migration"]["id"] == name
    unknown = vecferry("status", "dcos-to-qdrant")
    assert unknown.code == 2
    assert name in unknown.err


def test_list_shows_the_newest_first_and_can_leave_out_the_ended(
    vecferry: Vecferry, source: str, edge: str, lines: str
) -> None:
    """`list` holds every migration, `list --live` those that have not ended."""
    first = _waiting(vecferry, source, edge)
    vecferry("abort", first)
    second = _waiting(vecferry, source, lines)
    assert [row["id"] for row in vecferry("list", "--json").document["migrations"]] == [second, first]
    assert [row["id"] for row in vecferry("list", "--live", "--json").document["migrations"]] == [second]
    assert "ABORTED" in vecferry("list").out


def test_status_tells_what_is_done_and_what_comes_next(vecferry: Vecferry, source: str, edge: str) -> None:
    """Without an id it is the newest; --detailed adds slices and the audit trail."""
    assert vecferry("status").code == 2
    name = _switched(vecferry, source, edge)
    plain = vecferry("status")
    assert f"Migration {name}: SWITCHED" in plain.out
    assert "Audit trail" not in plain.out
    detailed = vecferry("status", "--detailed")
    assert "Audit trail" in detailed.out
    document = vecferry("status", "--detailed", "--json").document
    assert document["progress"] == {"slices": 1, "exported": 1, "loaded": 1, "validated": 1}
    assert document["audit"][0]["event"] == "migration created"


@pytest.mark.slow
def test_a_route_is_told_as_text_and_as_json(vecferry: Vecferry, source: str, edge: str) -> None:
    """The text is the URL alone, for scripts; the document has epoch, previous URL and alias."""
    name = _switched(vecferry, source, edge)
    assert vecferry("route", "docs").out == f"{edge}\n"
    found = vecferry("route", "docs", "--json").document
    assert (found["url"], found["previous_url"], found["epoch"], found["migration"]) == (edge, source, 2, name)
    unknown: Run = vecferry("route", "elsewhere")
    assert (unknown.code, "docs" in unknown.err) == (2, True)


def test_a_second_collection_cannot_take_a_route_that_is_in_use(
    vecferry: Vecferry, source: str, edge: str, lines: str, tmp_path: Path
) -> None:
    """Two collections of one name need --route: exit 4 says so."""
    _waiting(vecferry, source, edge)
    other = write_files(tmp_path / "elsewhere")
    clash = vecferry("migrate", "--source", other, "--target", lines)
    assert clash.code == 4
    assert "--route" in clash.err


@pytest.mark.parametrize("place", ["option", "environment"])
def test_the_ledger_can_be_elsewhere(
    place: str, vecferry: Vecferry, source: str, lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--ledger and VECFERRY_LEDGER name it; the default one is not even created."""
    file = tmp_path / "control" / "ledger.db"
    words = ("--ledger", file) if place == "option" else ()
    if place == "environment":
        monkeypatch.setenv("VECFERRY_LEDGER", str(file))
    done = vecferry("migrate", "--source", source, "--target", lines, "--approve", "auto", *words)
    assert done.code == 0, done.err
    assert file.exists()
    assert not (tmp_path / "home" / "ledger.db").exists()
