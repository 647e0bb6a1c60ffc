"""A ledger that was lost, made anew from the archive of a switched migration: then its way back works again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vecferry.archive import Archive
from vecferry.errors import BadOption, NotFound
from vecferry.ledger import Holder, Ledger, Migration
from vecferry.operations.kept import Kept, kept_in, opened, restored
from vecferry.operations.pausing import observe
from vecferry.strategies.cutover_file import Statement
from vecferry.strategies.telling import Observed

__all__ = ["Proposal", "Rebuilt", "propose", "rebuild"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a ledger would say. Deltas that nobody read back are not entered; a way back looks for itself."""

    kept: Kept
    folder: Path
    collection: str

    @property
    def statement(self) -> Statement:
        """Which switch it is."""
        return self.kept.statement


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was entered, and what alias, route file and application say of it."""

    migration: Migration
    observed: Observed


def propose(folder: Path, collection: str | None = None) -> Proposal:
    """What the archive in a folder knows of its switch; every file is held against its checksum. Writes nothing.

    Raises NotFound where no switch was near, BadOption where several collections are there and none is named, or for
    the archive of one workspace, ArchiveDamaged.
    """
    archive = opened(folder, collection)
    kept = kept_in(archive)
    if kept is None:
        raise NotFound(
            f"{archive.place} holds no cutover file: its migration was not about to switch",
            advice="there is no route to go back on; restore the archive with vecferry restore ARCHIVE URL",
        )
    if kept.statement.strategy == "rolling":
        raise BadOption(
            f"{archive.place} is that of one workspace of {kept.statement.migration.rpartition('.')[0]}",
            advice="name the archive of the whole, the folder in which workspaces/ is",
        )
    return Proposal(kept, folder.absolute(), archive.collection)


def rebuild(ledger: Ledger, proposal: Proposal) -> Rebuilt:
    """Enter it as SWITCHED. Raises PlanRefused where the ledger knows the migration or the route already."""
    archive = Archive.open(proposal.folder, proposal.collection)
    found = restored(archive, proposal.statement, str(proposal.folder))
    migration = ledger.restore_migration(found, Holder.here().user)
    return Rebuilt(migration, observe(ledger, migration.id))
