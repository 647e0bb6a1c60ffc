"""Commands for backups: make, restore, and look after a folder of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vecferry.cli.grouping import command
from vecferry.cli.options import SOURCE, TARGET, Choices, LedgerPlace, Reading, SourceSecrets, TargetSecrets, given
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["Keep", "backup", "list_backups", "prune", "restore", "verify"]

PANEL = "Back up"
GROUPS = {"backups": "List, verify and prune a folder of backups."}
ROOT = typer.Argument(metavar="ROOT", help="The folder of all backups.", file_okay=False)
BACKUPS = typer.Argument(metavar="ROOT|BACKUP", help="The folder of all backups, or one backup's.", file_okay=False)
PLACE = typer.Argument(metavar="BACKUP|URL", help="A backup's folder, or an archive's folder or URL.")


@dataclass(frozen=True, slots=True)
class Keep:
    """What retention keeps."""

    keep_daily: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Keep the newest verified backup of each of the last N days (UTC)."),
    ] = None
    keep_weekly: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Keep the newest verified backup of each of the last N weeks (ISO)."),
    ] = None


@command(
    PANEL,
    "vecferry backup numpy:///data/vectors.npy /backup",
    "vecferry backup chroma://localhost:8000/docs /backup --source-token-env CHROMA_TOKEN",
    "vecferry backup qdrant://localhost:6334/docs /backup --method snapshot --keep-daily 7 --keep-weekly 4",
)
def backup(
    screen: Screen,
    source: Annotated[str, SOURCE],
    root: Annotated[Path, ROOT],
    reading: Reading,
    source_secrets: SourceSecrets,
    keep: Keep,
    place: LedgerPlace,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="files|archive|snapshot",
            help="How: copied files, an archive, or the server's own snapshot (default: files, else an archive).",
        ),
    ] = None,
) -> Result:
    """Make a verified backup in a new folder below ROOT: files with checksums, an archive, or a server's snapshot."""
    from vecferry.cli.actions import backups

    options = given(reading, source_secrets) | {"source": source}
    return backups.backup(screen, place.ledger, options, root, method, given(keep))


@command(
    PANEL,
    "vecferry restore /backup/vectors.npy/20261121T020000Z numpy:///data/restored/vectors.npy",
    "vecferry restore /backup/docs/20261121T020000Z qdrant://localhost:6334/docs_restored",
)
def restore(
    screen: Screen,
    backup: Annotated[str, PLACE],
    target: Annotated[str, TARGET],
    choices: Choices,
    reading: Reading,
    target_secrets: TargetSecrets,
    place: LedgerPlace,
) -> Result:
    """Put a backup back into a new place, of the same or another kind, and compare all of it."""
    from vecferry.cli.actions import backups

    return backups.restore(screen, place.ledger, backup, given(choices, reading, target_secrets) | {"target": target})


@command(PANEL, "vecferry backups list /backup", "vecferry backups list /backup --json", name="backups list")
def list_backups(screen: Screen, root: Annotated[Path, BACKUPS]) -> Result:
    """List the backups below a folder, and what else stands among them."""
    from vecferry.cli.actions import backups

    return backups.list_backups(root)


@command(
    PANEL,
    "vecferry backups verify /backup --newest",
    "vecferry backups verify /backup/docs/20261121T020000Z --json",
    name="backups verify",
)
def verify(
    screen: Screen,
    root: Annotated[Path, BACKUPS],
    newest: Annotated[bool, typer.Option("--newest", help="Only the newest backup of each source.")] = False,
) -> Result:
    """Read backups back, every byte. Exit 1 names what is damaged; what was found is recorded with the backup."""
    from vecferry.cli.actions import backups

    return backups.verify(root, newest=newest)


@command(
    PANEL,
    "vecferry backups prune /backup --keep-daily 7 --keep-weekly 4 --dry-run",
    "vecferry backups prune /backup --keep-daily 7",
    name="backups prune",
)
def prune(
    screen: Screen,
    root: Annotated[Path, BACKUPS],
    keep: Keep,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")] = False,
) -> Result:
    """Remove what is not kept, the oldest first, once the newest was read back. Never a damaged or foreign folder."""
    from vecferry.cli.actions import backups

    return backups.prune(root, given(keep), dry_run=dry_run)
