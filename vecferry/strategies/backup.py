"""Backup of a database: an export whose archive, once it was read back, becomes a backup."""

from __future__ import annotations

from vecferry.strategies import steps
from vecferry.strategies.export import export_archive
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.work import open_work
from vecferry.transfer.backup_set import is_whole, making

__all__ = ["backup_archive"]


def backup_archive(run: Runner, ref: Ref) -> None:
    """Export and verify the archive, then list its files. Nobody else may make or remove this backup meanwhile."""
    folder = open_work(ref).archive_folder.parent
    if is_whole(folder):  # nothing is written any more, not even the next generation of the manifest
        return
    with making(folder):
        export_archive(run, ref)
        with working(ref) as held:
            run.run(steps.seal_backup, held)
