"""Backups for tests: made, aged, damaged, and made by processes that die. Imports no driver: children import it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vecferry import failpoints
from vecferry.config import make_config
from vecferry.operations import backup_sets, backups
from vecferry.transfer.backup_listing import Method, read_listing, write_listing
from vecferry.transfer.retention import Policy

__all__ = ["aged", "back_up", "contents", "flip", "killed", "made_one", "prune"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, at: float = 0.5) -> None:
    """Flip one bit, at this share of the file (an empty file gets a byte)."""
    content = bytearray(path.read_bytes() or b"\0")
    content[min(int(len(content) * at), len(content) - 1)] ^= 1
    path.write_bytes(content)


def aged(folder: Path, days: int) -> Path:
    """The same backup as if it had been made so many days ago; its new folder."""
    listing = read_listing(folder)
    at = datetime.now(UTC) - timedelta(days=days)
    older = folder.with_name(at.strftime("%Y%m%dT%H%M%SZ"))
    folder.rename(older)
    write_listing(older, replace(listing, made_at=at.isoformat(timespec="seconds")))
    return older


def made_one(source: str, root: Path, days: int = 0) -> Path:
    """A backup by copying files, so many days old; its folder."""
    folder = backups.copy_backup(make_config({"source": source, "target": "memory:///x"}), root, Method.FILES).folder
    return aged(folder, days) if days else folder


def killed(work: Callable[..., None], root: Path, points: str, *more: str) -> int | None:
    """Do `work` in a process of its own that dies at a failpoint; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.migrating", "qdrant_edge"])
    process = context.Process(target=work, args=(str(root), points, *more))
    process.start()
    process.join(60)
    return process.exitcode


def prune(root: str, points: str) -> None:
    """Keep one day, armed."""
    failpoints.arm(points)
    backup_sets.prune(Path(root), Policy(1))


def back_up(root: str, points: str, source: str) -> None:
    """Make one backup, armed."""
    failpoints.arm(points)
    made_one(source, Path(root))
