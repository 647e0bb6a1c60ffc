"""A ledger that was lost: made anew from the archives of a rolling migration, of which some workspaces had switched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.migrating import Harness, contents, fill, schema
from tests.support.tenants import groups, held, put, remove, start
from vecferry import canonical
from vecferry.archive import Archive, verify
from vecferry.errors import ArchiveDamaged, BadOption, PlanRefused, Stopped, VecferryError
from vecferry.ledger import DEFAULT_WORKSPACE, Hold, State, Workspace, workspace_key
from vecferry.model import IdKind
from vecferry.operations import ending, rebuilding, rebuilding_workspaces, routes, workspaces
from vecferry.operations.rebuilding_workspaces import Rebuilt
from vecferry.strategies.runner import Ref
from vecferry.strategies.workspace_list import read_workspaces

A, B = '"a"', '"b"'
KILLED = -9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The archive's folder."""
    return tmp_path / "archive"


def begin(harness: Harness, old: str, new: str, folder: Path, **options: object) -> Ref:
    """A rolling migration with its archive in a folder of its own."""
    return start(harness, old, new, archive=str(folder), **options)


def only_a_moved(harness: Harness, old: str, new: str, folder: Path, **options: object) -> Ref:
    """The workspace a is switched; b is filled, and it and the last group stay where they are."""
    ref = begin(harness, old, new, folder, approve="ask", **options)
    harness.answer = False
    with pytest.raises(Stopped):
        harness.run(ref)
    harness.answer = True
    workspaces.hold(harness.ledger, ref.migration, ["b", DEFAULT_WORKSPACE], Hold.PAUSED)
    harness.run(ref)
    return ref


def lose_ledger(harness: Harness) -> Harness:
    """The file is gone; another one, in another place, is empty."""
    folder = harness.folder / "other"
    folder.mkdir()
    for file in harness.folder.glob("ledger.db*"):
        file.unlink()
    return Harness(folder)


def rebuild(harness: Harness, folder: Path, *rolled_back: str) -> Rebuilt:
    found = rebuilding_workspaces.propose(folder, rolled_back=rolled_back)
    return rebuilding_workspaces.rebuild(harness.ledger, found)


def served(harness: Harness, *names: str) -> dict[str, str]:
    """Where each workspace is served, as an application asks."""
    found = {name: harness.ledger.ask_route("docs", workspace_key(name)) for name in names}
    return {name: one.url for name, one in found.items() if one is not None}


def plain(found: list[Workspace]) -> list[tuple[object, ...]]:
    return [(one.number, one.key, one.rows, one.condition, one.hold, one.child) for one in found]


@pytest.mark.slow
def test_s11_the_way_back_of_each_workspace_works_from_a_ledger_made_of_the_archives(
    harness: Harness, old: str, new: str, folder: Path
) -> None:
    """All had moved: workspaces, children and routes are as they were; one goes back with its records, then all."""
    ref = begin(harness, old, new, folder)
    harness.run(ref)
    before, epochs = harness.ledger.workspaces(ref.migration), _epochs(harness)
    put(new, "a7", "a", 7)
    anew = lose_ledger(harness)
    found = rebuild(anew, folder)
    assert (found.migration.id, found.migration.state, found.differences) == (ref.migration, State.SWITCHED, [])
    assert plain(anew.ledger.workspaces(ref.migration)) == plain(before)
    assert set(groups(anew, ref).values()) == {State.SWITCHED}
    assert _epochs(anew) == epochs
    mine = Ref(anew.ledger.url, ref.migration)
    workspaces.roll_back(anew.runner, mine, ["a"], routes.settlement())
    assert served(anew, "a", "b", "z") == {"a": old, "b": new, "z": new}
    assert held(anew, old)["a7"] == "a"
    workspaces.roll_back(anew.runner, mine, [], routes.settlement())
    assert anew.migration(mine).state is State.ROLLED_BACK
    assert served(anew, "a", "b", "z") == {"a": old, "b": old, "z": old}
    assert all(_epochs(anew)[name] > epoch for name, epoch in epochs.items())
    assert anew.records(old) == anew.records(new)


@pytest.mark.slow
def test_the_end_works_from_a_ledger_made_of_the_archives(harness: Harness, old: str, new: str, folder: Path) -> None:
    """Complete looks at the old store once more, decommission drops it; a moved folder is that of the new ledger."""
    ref = begin(harness, old, new, folder)
    harness.run(ref)
    anew = lose_ledger(harness)
    folder.rename(folder.with_name("moved"))
    assert rebuild(anew, folder.with_name("moved")).migration.archive == str(folder.with_name("moved"))
    mine = Ref(anew.ledger.url, ref.migration)
    assert not ending.complete(anew.runner, mine).late
    assert anew.migration(mine).state is State.COMPLETED
    assert ending.decommission(anew.runner, mine, old.rpartition("/")[2]).dropped == old


@pytest.mark.slow
def test_what_had_not_switched_is_copied_anew_and_trusts_nothing(
    harness: Harness, old: str, new: str, folder: Path
) -> None:
    """What was copied and is gone from the old store since is no record of the new one; the run goes on to its end."""
    ref = only_a_moved(harness, old, new, folder)
    assert held(harness, new) == held(harness, old)
    anew = lose_ledger(harness)
    remove(old, "b2")
    put(old, "b3", "b", 33)
    put(new, "a8", "a", 8)
    found = rebuild(anew, folder)
    assert groups(anew, ref) == {A: State.SWITCHED, B: State.PLANNED, DEFAULT_WORKSPACE: State.PLANNED}
    assert served(anew, "a", "b", "z") == {"a": new, "b": old, "z": old}
    assert found.differences == []
    assert anew.ledger.workspace(ref.migration, B).hold is Hold.PAUSED
    mine = Ref(anew.ledger.url, ref.migration)
    workspaces.hold(anew.ledger, ref.migration, ["b", DEFAULT_WORKSPACE], None)
    anew.run(mine)
    assert set(groups(anew, ref).values()) == {State.SWITCHED}
    assert held(anew, new) == {"a0": "a", "a1": "a", "a8": "a", "b3": "b", "b4": "b"}
    assert anew.records(new)[_key("b3")] == anew.records(old)[_key("b3")]
    assert {path.name for path in (folder / "workspaces").iterdir()} >= {"0002", "0002.unproven-1"}
    workspaces.roll_back(anew.runner, mine, [], routes.settlement())
    assert held(anew, old) == held(anew, new)


@pytest.mark.slow
def test_the_applications_own_version_of_a_copied_record_is_not_taken_back(
    harness: Harness, old: str, new: str, folder: Path
) -> None:
    """A record that it changed in the new store stays there, and the copy of that workspace stops at it, naming it."""
    ref = only_a_moved(harness, old, new, folder)
    anew = lose_ledger(harness)
    put(new, "b2", "b", 77)
    rebuild(anew, folder)
    mine = Ref(anew.ledger.url, ref.migration)
    workspaces.hold(anew.ledger, ref.migration, ["b", DEFAULT_WORKSPACE], None)
    with pytest.raises(VecferryError, match="b2"):
        anew.run(mine)
    assert groups(anew, ref)[B] is State.COPYING
    assert held(anew, new)["b2"] == "b"
    assert served(anew, "b") == {"b": old}


@pytest.mark.slow
def test_an_archive_of_which_nothing_had_switched_can_be_aborted_or_gone_on_with(
    harness: Harness, old: str, new: str, folder: Path
) -> None:
    """Nothing serves from the new store; its mark is that of the migration, so the run takes it."""
    ref = begin(harness, old, new, folder, approve="ask")
    harness.answer = False
    with pytest.raises(Stopped):
        harness.run(ref)
    anew = lose_ledger(harness)
    assert rebuild(anew, folder).migration.state is State.PLANNED
    assert served(anew, "a", "z") == {"a": old, "z": old}
    anew.run(Ref(anew.ledger.url, ref.migration))
    assert set(groups(anew, ref).values()) == {State.SWITCHED}
    assert held(anew, new) == held(anew, old)


@pytest.mark.slow
def test_a_way_back_that_was_taken_is_known_from_the_list(harness: Harness, old: str, new: str, folder: Path) -> None:
    """One that went back is served by the old store, and the others are served as they were."""
    ref = begin(harness, old, new, folder)
    harness.run(ref)
    workspaces.roll_back(harness.runner, ref, ["a"], routes.settlement())
    put(old, "a9", "a", 9)
    epochs = _epochs(harness)
    anew = lose_ledger(harness)
    assert rebuild(anew, folder).migration.state is State.SWITCHED
    assert groups(anew, ref) == {A: State.ROLLED_BACK, B: State.SWITCHED, DEFAULT_WORKSPACE: State.SWITCHED}
    assert served(anew, "a", "b", "z") == {"a": old, "b": new, "z": new}
    assert _epochs(anew) == epochs
    mine = Ref(anew.ledger.url, ref.migration)
    workspaces.roll_back(anew.runner, mine, [], routes.settlement())
    assert held(anew, old)["a9"] == "a"


@pytest.mark.slow
@pytest.mark.parametrize("back", ["a", DEFAULT_WORKSPACE])
def test_a_way_back_that_only_a_person_knows_of_is_merged_before_it_ends(
    harness: Harness, old: str, new: str, folder: Path, back: str
) -> None:
    """Named, it is served by the old store; what the new one had received of it goes there with the merge."""
    ref = begin(harness, old, new, folder)
    harness.run(ref)
    put(new, f"{back}7", back, 7)
    epochs = _epochs(harness)
    anew = lose_ledger(harness)
    rebuild(anew, folder, back)
    mine = Ref(anew.ledger.url, ref.migration)
    key = DEFAULT_WORKSPACE if back == DEFAULT_WORKSPACE else workspace_key(back)
    assert groups(anew, ref)[key] is State.ROLLED_BACK_UNMERGED
    assert served(anew, back, "b") == {back: old, "b": new}
    assert _epochs(anew)[key] > epochs[key]
    put(old, f"{back}8", back, 8)
    workspaces.merge(anew.runner, mine, [back], routes.settlement())
    assert groups(anew, ref)[key] is State.ROLLED_BACK
    assert {name for name, value in held(anew, old).items() if value == back} >= {f"{back}7", f"{back}8"}


@pytest.mark.slow
@pytest.mark.parametrize("listed", ["last", "before the switches"])
def test_when_the_last_group_had_moved_those_that_had_not_stay_in_the_old_store(
    harness: Harness, old: str, new: str, folder: Path, listed: str
) -> None:
    """A workspace that was skipped has a route of its own, beside that of the whole, also where the list is older."""
    ref = begin(harness, old, new, folder, approve="ask")
    harness.answer = False
    with pytest.raises(Stopped):
        harness.run(ref)
    harness.answer = True
    workspaces.hold(harness.ledger, ref.migration, ["b"], Hold.SKIPPED)
    manifest = next(folder.glob("*/manifest.json"))
    earlier = manifest.read_bytes()
    harness.run(ref)
    if listed != "last":
        manifest.write_bytes(earlier)
    before = served(harness, "a", "b", "z"), _epochs(harness)
    assert before[0] == {"a": new, "b": old, "z": new}
    anew = lose_ledger(harness)
    rebuild(anew, folder)
    assert (served(anew, "a", "b", "z"), _epochs(anew)) == before
    mine = Ref(anew.ledger.url, ref.migration)
    workspaces.retry(anew.runner, mine, ["b"])
    assert set(groups(anew, ref).values()) == {State.SWITCHED}
    assert held(anew, new) == held(anew, old)


@pytest.mark.slow
def test_a_ledger_that_knows_the_migration_or_the_route_is_not_touched(
    harness: Harness, old: str, new: str, folder: Path
) -> None:
    """What a ledger says counts more than what an archive says."""
    ref = begin(harness, old, new, folder)
    harness.run(ref)
    trail = len(harness.ledger.audit())
    with pytest.raises(PlanRefused, match="knows migration"):
        rebuild(harness, folder)
    assert len(harness.ledger.audit()) == trail
    anew = lose_ledger(harness)
    other = anew.start(f"{old}-second", f"{new}-second", route="docs")
    anew.ledger.claim_route("docs", f"{old}-second", other.migration)
    with pytest.raises(PlanRefused, match="has a route 'docs'"):
        rebuild(anew, folder)
    assert [one.id for one in anew.ledger.migrations()] == [other.migration]
    assert anew.ledger.workspaces(ref.migration) == []


@pytest.mark.slow
def test_archives_that_do_not_tell_all_of_it_are_refused(harness: Harness, old: str, new: str, folder: Path) -> None:
    """One workspace's folder, a damaged or missing one of what had switched, names that are none, an older archive."""
    ref = begin(harness, old, new, folder)
    harness.run(ref)
    one = folder / "workspaces" / "0001"
    with pytest.raises(BadOption, match=f"one workspace of {ref.migration}"):
        rebuilding.propose(one)
    with pytest.raises(BadOption, match="one workspace") as caught:
        rebuilding_workspaces.is_of_workspaces(one)
    assert str(folder) in caught.value.advice
    with pytest.raises(BadOption, match="no workspace c"):
        rebuilding_workspaces.propose(folder, rolled_back=["c"])
    one.rename(folder / "elsewhere")
    with pytest.raises(ArchiveDamaged, match="was SWITCHED"):
        rebuilding_workspaces.propose(folder)
    (folder / "elsewhere").rename(one)
    part = next(one.rglob("hashes/*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    with pytest.raises(ArchiveDamaged, match="not as it was written"):
        rebuilding_workspaces.propose(folder)
    part.write_bytes(content)
    next(path for path in folder.rglob("manifest.json") if "workspaces" not in path.parts).unlink()
    with pytest.raises(PlanRefused, match="earlier version"):
        rebuilding_workspaces.is_of_workspaces(folder)


@pytest.mark.slow
def test_the_list_of_workspaces_is_kept_as_they_are(harness: Harness, old: str, new: str, folder: Path) -> None:
    """Found, held, ordered and switched: the manifest of the whole lists them so, and claims to be no copy."""
    ref = begin(harness, old, new, folder, approve="ask")
    harness.answer = False
    with pytest.raises(Stopped):
        harness.run(ref)
    workspaces.hold(harness.ledger, ref.migration, ["a"], Hold.SKIPPED)
    workspaces.go_first(harness.ledger, ref.migration, ["b"])
    archive = Archive.open(folder, old.rpartition("/")[2])
    found = read_workspaces(archive.manifest(), archive.place)
    assert found is not None
    assert [(one.key, one.number, one.position, one.hold, one.state) for one in found.workspaces] == [
        (B, 2, 1, None, State.READY),
        (A, 1, 2, Hold.SKIPPED, State.READY),
        (DEFAULT_WORKSPACE, 3, 3, None, State.PLANNED),
    ]
    assert not archive.manifest().complete
    assert [damage.kind for damage in verify(archive, deep=True).damages] == ["incomplete"]


@pytest.mark.slow
def test_a_run_that_was_killed_and_lost_its_ledger_ends_in_real_engines(harness: Harness, tmp_path: Path) -> None:
    """Chroma's folder to Qdrant Edge: one workspace has switched, the next was half loaded, and its records changed."""
    old, new = f"chroma+path://{tmp_path}/chroma/docs", f"qdrant+edge://{tmp_path}/edge/docs"
    fill(old, [], schema(documents=False))
    for workspace, size in {"a": 2, "b": 4}.items():
        for number in range(size):
            put(old, f"{workspace}{number}", workspace, number)
    ref = begin(harness, old, new, tmp_path / "archive", wave=1)
    assert harness.run_until_killed(ref, "load.part_written=kill@2") == KILLED
    assert held(harness, new).keys() >= {"a0", "b0", "b1"}
    anew = lose_ledger(harness)
    remove(old, "b1")
    put(old, "b2", "b", 22)
    found = rebuild(anew, tmp_path / "archive")
    assert (found.migration.state, found.differences) == (State.SWITCHED, [])
    mine = Ref(anew.ledger.url, ref.migration)
    anew.run(mine)
    assert set(groups(anew, ref).values()) == {State.SWITCHED}
    assert held(anew, new) == {"a0": "a", "a1": "a", "b0": "b", "b2": "b", "b3": "b"}
    workspaces.roll_back(anew.runner, mine, [], routes.settlement())
    assert held(anew, old) == held(anew, new)
    assert {text: canonical.decode(row.payload)["n"] for text, row in contents(old).items()}["b2"] == 22


def _epochs(harness: Harness) -> dict[str, int]:
    whole = harness.ledger.route("docs")
    assert whole is not None
    apart = {str(one.workspace): one.epoch for one in harness.ledger.workspace_routes("docs")}
    return {DEFAULT_WORKSPACE: whole.epoch} | apart


def _key(name: str) -> tuple[IdKind, str]:
    return IdKind.STRING, name
