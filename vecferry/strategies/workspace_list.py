"""What the archive of a rolling migration knows of its workspaces: enough to make a lost ledger anew.

The manifest of the whole collection's archive lists them. The archive of each says by itself whether it was about to
switch; of a way back that was taken only this list knows.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime

from vecferry import plain
from vecferry.archive import Archive, Changes, Manifest
from vecferry.errors import ArchiveDamaged, NotFound, Stopped, StoreRefused
from vecferry.ledger import Hold, State, Workspace
from vecferry.model import JsonObject
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work

__all__ = ["FIELD", "ListedWorkspace", "WorkspaceList", "keep_workspaces", "note_workspaces", "read_workspaces"]

FIELD = "rolling"
"""The field of the manifest."""

_VERSION = 1
_FACTS = ("inventory", "identity", "backup")
"""What is done once for the whole collection."""


@dataclass(frozen=True, slots=True)
class ListedWorkspace:
    """One workspace as it was when the list was written. `epoch` is that of its route then."""

    number: int
    key: str
    rows: int
    position: int
    condition: JsonObject
    hold: Hold | None
    state: State
    epoch: int


@dataclass(frozen=True, slots=True)
class WorkspaceList:
    """A rolling migration in the terms in which the ledger would keep it. `workspaces` are in the order of work.

    `route_epoch` is that of the whole collection's route when the list was written.
    """

    version: int
    migration: str
    name: str
    strategy: str
    route: str
    route_epoch: int
    source_url: str
    target_url: str
    config: JsonObject
    facts: JsonObject
    workspaces: tuple[ListedWorkspace, ...]
    created_at: datetime


def keep_workspaces(work: Work) -> None:
    """Let the manifest of the whole collection's archive list the workspaces as they are now; nothing where it does.

    `work`: the migration that has workspaces. Raises what writing to the archive does.
    """
    found = work.ledger.workspaces(work.ref.migration)
    if not found:
        return
    content = plain.to_plain(_list(work, found))
    archive = Archive.open(work.archive_folder, work.plan.schema.name)
    first = not archive.has_manifest()
    if not first and archive.manifest().raw.get(FIELD) == content:
        return
    # It holds no records, so it is never complete: nobody takes it for a copy of the collection.
    schema = work.plan.schema if first else None
    archive.commit(Changes(schema=schema, complete=False, more={FIELD: content}))


def note_workspaces(ref: Ref) -> None:
    """`keep_workspaces` after something was done. Where the archive cannot be written it counts all the same.

    Every run begins with writing the list, and does not go on where that fails.
    """
    with contextlib.suppress(NotFound, Stopped, StoreRefused, ArchiveDamaged):
        keep_workspaces(open_work(ref))


def read_workspaces(manifest: Manifest, place: str) -> WorkspaceList | None:
    """The list, if the archive is that of a rolling migration's whole collection. Raises ArchiveDamaged."""
    content = manifest.raw.get(FIELD)
    if content is None:
        return None
    version = content.get("version") if isinstance(content, dict) else None
    if version != _VERSION:
        raise ArchiveDamaged(
            f"the list of workspaces of {place} has the version {version!r}",
            advice="install a newer vecferry: pip install --upgrade vecferry",
        )
    try:
        return plain.from_plain(WorkspaceList, content)
    except ValueError as error:
        raise ArchiveDamaged(
            f"the list of workspaces of {place} cannot be read: {error}", advice="restore manifest.json from a copy"
        ) from error


def _list(work: Work, found: list[Workspace]) -> dict[str, object]:
    migration, ledger = work.migration, work.ledger
    names = ("name", "strategy", "route", "source_url", "target_url", "config")
    facts = {name: work.fact(name) for name in _FACTS}
    whole = ledger.route(migration.route)
    apart = {route.workspace: route.epoch for route in ledger.workspace_routes(migration.route)}
    epoch = 1 if whole is None else whole.epoch
    return {
        "version": _VERSION,
        "migration": migration.id,
        **{name: getattr(migration, name) for name in names},
        "route_epoch": epoch,
        "facts": {name: value for name, value in facts.items() if value is not None},
        "workspaces": [_listed(one, at, apart.get(one.key, epoch)) for at, one in enumerate(found, 1)],
        "created_at": migration.created_at.isoformat(),
    }


def _listed(one: Workspace, position: int, epoch: int) -> ListedWorkspace:
    return ListedWorkspace(one.number, one.key, one.rows, position, one.condition or {}, one.hold, one.state, epoch)
