"""Phase 2: a verified copy of a source made of files. For a database the verified export is the backup."""

from __future__ import annotations

from vecferry import plain
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work
from vecferry.transfer.backup import copy_files

__all__ = ["back_up"]


def back_up(ref: Ref) -> None:
    """Copy the source's files beside the archive, with checksums, and read the copy back."""
    work = open_work(ref)

    def copy() -> dict[str, object]:
        files = work.source().files() if work.config.backup else ()
        copied = copy_files(files, work.backup_folder)
        return {"folder": str(work.backup_folder) if copied else None, "files": plain.to_plain(copied)}

    work.once("backup", copy)
