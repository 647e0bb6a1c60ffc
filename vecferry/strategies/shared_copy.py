"""One copy for many collections: those of one engine's folder are all in the same files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from vecferry.contract import SourceFile
from vecferry.ledger import Migration
from vecferry.model import JsonObject
from vecferry.strategies.work import Work

__all__ = ["copied_by_another", "stamp_of"]


def stamp_of(files: Sequence[SourceFile]) -> str:
    """A text that changes when one of these files is written to, or another one takes its place."""
    digest = hashlib.sha256()
    for item in sorted(files, key=lambda one: one.relative):
        status = item.file.stat()
        digest.update(f"{item.relative}\0{status.st_size} {status.st_mtime_ns} {status.st_ino}\0".encode())
    return digest.hexdigest()


def copied_by_another(work: Work, files: Sequence[SourceFile]) -> JsonObject | None:
    """The verified copy that the member before this one in its group has of these very files; None without one."""
    known = _before(work)
    if known is None or not files or known["stamp"] != stamp_of(files) or not Path(str(known["folder"])).is_dir():
        return None
    return known


def _before(work: Work) -> JsonObject | None:
    mine = work.migration
    if mine.group_id is None:
        return None
    members: list[Migration] = work.ledger.members(mine.group_id)
    for member in reversed(members[: mine.member]):
        known = work.ledger.fact(member.id, "backup")
        if known is not None and known.get("stamp"):
            return known
    return None
