"""A ledger that was lost, made anew from the archives of a rolling migration: the whole's, and its workspaces'.

A workspace whose archive holds no cutover file has never switched. One whose archive does was about to: that it did,
and did not go back since, is what the list of workspaces knows, or else the person who says yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vecferry import address
from vecferry.archive import Archive, DamageKind, verify
from vecferry.errors import ArchiveDamaged, BadOption, NotFound, PlanRefused
from vecferry.ledger import (
    DEFAULT_WORKSPACE,
    Entry,
    Holder,
    Ledger,
    Migration,
    RestoredWhole,
    RestoredWorkspace,
    State,
    Workspace,
    key_of,
)
from vecferry.model import JsonObject
from vecferry.operations.kept import Kept, kept_in, opened, restored
from vecferry.operations.pausing import observe
from vecferry.strategies.scope import SERVED_BY_NEW
from vecferry.strategies.steps.cutover import CUTOVER_FACT
from vecferry.strategies.telling import Observed
from vecferry.strategies.unproven import UNPROVEN_FACT
from vecferry.strategies.workspace_list import ListedWorkspace, WorkspaceList, read_workspaces

__all__ = ["Found", "Proposal", "Rebuilt", "is_of_workspaces", "propose", "rebuild"]

_WORKSPACES = "workspaces"
"""The folder below that of the whole in which each workspace has its archive."""


@dataclass(frozen=True, slots=True)
class Found:
    """One workspace, what its archive knows of its switch (None: it had none), and the state that it gets.

    `epoch` is that of its route from now on.
    """

    listed: ListedWorkspace
    kept: Kept | None
    state: State
    epoch: int

    @property
    def is_new(self) -> bool:
        """Whether the new store serves it."""
        return self.state is State.SWITCHED


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a ledger would say. `found` are in the order of work."""

    listed: WorkspaceList
    folder: Path
    collection: str
    found: tuple[Found, ...]

    @property
    def default(self) -> Found | None:
        """The group of all others where it was about to switch: the whole collection's route is its own."""
        return next((one for one in self.found if one.listed.key == DEFAULT_WORKSPACE and one.kept), None)

    @property
    def epoch(self) -> int:
        """That of the whole collection's route."""
        return self.listed.route_epoch if self.default is None else self.default.epoch

    @property
    def serves(self) -> str:
        """The URL to which the whole collection's route leads."""
        is_new = self.default is not None and self.default.is_new
        return self.listed.target_url if is_new else self.listed.source_url


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was entered, and what follows the routes: of the whole (None), and of each workspace that had moved."""

    migration: Migration
    observed: tuple[tuple[str | None, Observed], ...]

    @property
    def differences(self) -> list[str]:
        """In which points the outside says something else, each with its workspace."""
        return [
            line if key is None else f"workspace {key}: {line}"
            for key, one in self.observed
            for line in one.differences
        ]


def is_of_workspaces(folder: Path, collection: str | None = None) -> bool:
    """Whether a folder holds the archive of a whole rolling migration.

    Raises BadOption for that of one workspace, NotFound, PlanRefused for one that lists no workspaces, ArchiveDamaged.
    """
    whole = folder.absolute().parent.parent
    if folder.absolute().parent.name == _WORKSPACES and Archive.collections(whole):
        raise BadOption(
            f"{folder} is the archive of one workspace of a rolling migration",
            advice=f"name that of the whole: vecferry ledger rebuild {whole}",
        )
    archive = opened(folder, collection)
    if archive.has_manifest():
        return read_workspaces(archive.manifest(), archive.place) is not None
    if (folder / _WORKSPACES).is_dir():
        raise PlanRefused(
            f"{archive.place} does not list the workspaces of its rolling migration: it was written by an earlier "
            "version, or stopped before they were found",
            advice="restore the ledger from a copy; the archive of each workspace can be restored: vecferry restore "
            "ARCHIVE URL",
        )
    return False


def propose(folder: Path, collection: str | None = None, rolled_back: Sequence[str] = ()) -> Proposal:
    """What the archives in a folder know; every file of what switched is held against its checksum. Writes nothing.

    `rolled_back` names workspaces that were about to switch and that the old store serves. Raises BadOption for one
    that was not, ArchiveDamaged also where the archive of a workspace that had switched is not here.
    """
    archive = opened(folder, collection)
    _require_sound(archive)
    listed = read_workspaces(archive.manifest(), archive.place)
    if listed is None:
        raise NotFound(f"{archive.place} is not that of a rolling migration", advice="name the folder of the whole")
    back = _named(listed, rolled_back)
    found = [_found(folder.absolute(), archive.collection, one, one.key in back) for one in listed.workspaces]
    for one in found:
        if one.kept is None and one.listed.key in back:
            raise BadOption(f"workspace {one.listed.key} was not about to switch", advice="leave its name out")
    return Proposal(listed, folder.absolute(), archive.collection, tuple(found))


def _require_sound(archive: Archive) -> None:
    """Of the whole there is the plan; the records are in the workspaces' archives."""
    damages = [one for one in verify(archive, deep=False).damages if one.kind is not DamageKind.INCOMPLETE]
    if damages:
        raise ArchiveDamaged(f"{archive.place} is not as it was written: {damages[0]}", advice="restore the file")


def _named(listed: WorkspaceList, names: Sequence[str]) -> set[str]:
    known = [one.key for one in listed.workspaces]
    keys = {name: key_of(name, known) for name in names}
    unknown = [name for name, key in keys.items() if key not in known]
    if unknown:
        raise BadOption(f"there is no workspace {unknown[0]}", advice=f"there are {', '.join(known[:10])}")
    return set(keys.values())


def _found(folder: Path, collection: str, one: ListedWorkspace, is_back: bool) -> Found:
    place = _folder_of(folder, one.number)
    there = collection in Archive.collections(place)
    archive = Archive.open(place, collection) if there else None
    kept = kept_in(archive) if archive is not None and archive.has_manifest() else None
    if kept is None:
        if one.state in SERVED_BY_NEW | {State.ROLLED_BACK}:
            raise ArchiveDamaged(
                f"workspace {one.key} was {one.state}, and {place} holds no cutover file",
                advice="restore that folder from a copy",
            )
        return Found(one, None, State.PLANNED, one.epoch)
    state = _state(one, kept, is_back)
    epoch = kept.statement.route_epoch
    return Found(one, kept, state, max(one.epoch, epoch if state is State.SWITCHED else epoch + 1))


def _folder_of(folder: Path, number: int) -> Path:
    """Where the archive of one workspace is."""
    return folder / _WORKSPACES / f"{number:04d}"


def _state(one: ListedWorkspace, kept: Kept, is_back: bool) -> State:
    """A route that moved on after the switch went back. What only a person says is merged once more before it ends."""
    went_back = one.epoch > kept.statement.route_epoch
    if went_back and one.state is State.ROLLED_BACK:
        return State.ROLLED_BACK
    return State.ROLLED_BACK_UNMERGED if went_back or is_back else State.SWITCHED


def rebuild(ledger: Ledger, proposal: Proposal) -> Rebuilt:
    """Enter all of it. Raises PlanRefused where the ledger knows the migration or the route already."""
    listed, archive = proposal.listed, Archive.open(proposal.folder, proposal.collection)
    folder = str(proposal.folder)
    entry = Entry(
        listed.name,
        listed.strategy,
        listed.source_url,
        listed.target_url,
        listed.route,
        folder,
        {**listed.config, "archive": folder},
    )
    parts = [_restored(proposal, one) for one in proposal.found]
    whole = RestoredWhole(
        listed.migration, entry, listed.created_at, archive.plan(), _facts(proposal), parts, listed.route_epoch
    )
    migration = ledger.restore_workspaces(whole, Holder.here().user)
    return Rebuilt(migration, tuple(_observed(ledger, migration, proposal)))


def _facts(proposal: Proposal) -> JsonObject:
    """Those of the whole, and what its workspaces had of it."""
    kept = next((one.kept for one in proposal.found if one.kept is not None), None)
    backup = (
        {}
        if kept is None
        else {name: kept.statement.facts[name] for name in ("backup",) if name in kept.statement.facts}
    )
    return {**backup, **proposal.listed.facts}


def _restored(proposal: Proposal, one: Found) -> RestoredWorkspace:
    listed = one.listed
    place = Workspace(
        listed.number,
        listed.key,
        listed.rows,
        position=listed.position,
        state=one.state,
        hold=listed.hold,
        condition=listed.condition,
    )
    if one.kept is None:
        return RestoredWorkspace(place, None, one.epoch, one.is_new, None, {UNPROVEN_FACT: {"left": True}})
    archive = Archive.open(_folder_of(proposal.folder, listed.number), proposal.collection)
    found = restored(archive, one.kept.statement, str(proposal.folder))
    # What was measured of the switch is lost; that it came to its end is what the yes says.
    moved = replace(found, facts={**found.facts, CUTOVER_FACT: {}})
    return RestoredWorkspace(place, moved, one.epoch, one.is_new, _alias(one, found.entry), {})


def _alias(one: Found, entry: Entry) -> JsonObject | None:
    """What the engine's alias was meant to become with the last step of the route."""
    alias = None if one.kept is None else one.kept.statement.alias
    if alias is None or one.is_new:
        return alias
    return {**alias, "collection": address.parse(entry.source_url).collection()}


def _observed(ledger: Ledger, migration: Migration, proposal: Proposal) -> list[tuple[str | None, Observed]]:
    moved = [one for one in ledger.workspaces(migration.id) if one.state is not State.PLANNED]
    found: list[tuple[str | None, Observed]] = [(one.key, observe(ledger, one.child)) for one in moved]
    if moved and proposal.default is None:
        found.append((None, observe(ledger, migration.id)))
    return found
