"""Is there room? Asked before the first row moves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from vecferry.address import Address
from vecferry.errors import Stopped
from vecferry.mapping import Profile
from vecferry.model import CollectionSchema
from vecferry.transfer.plan import Plan

__all__ = ["estimate_bytes", "require", "require_for_passes"]

_HASH_ROW_BYTES = 200
"""Ids and hashes of one record in the archive, uncompressed."""

_DOCUMENT_BYTES = 4096
"""A document counts as no longer than this: only the longest is known."""

_RESERVE_BYTES = 64 << 20


def estimate_bytes(schema: CollectionSchema, rows: int, payload_bytes: int) -> int:
    """Bytes of the archive, uncompressed: an upper bound (zstd saves about 15 % of vectors)."""
    row = sum(np.dtype(field.dtype).itemsize * (field.dimension or 64) for field in schema.vectors)
    return rows * (row + _HASH_ROW_BYTES) + payload_bytes


def require(plan: Plan, profile: Profile, archive: Path, target: Address, backup_bytes: int = 0) -> None:
    """Raise Stopped when the archive's disk, or the target's where it is a local folder, is too small.

    `backup_bytes` of files are copied beside the archive.
    """
    needed = estimate_bytes(plan.schema, plan.rows, _text_bytes(profile))
    folders = [(archive, needed + backup_bytes)]
    if not target.host and target.path:
        folders.append((target.file, needed))
    by_disk: dict[int, tuple[Path, int]] = {}
    for folder, size in folders:
        place = _existing(folder)
        disk = place.stat().st_dev
        by_disk[disk] = (place, by_disk.get(disk, (place, 0))[1] + size)
    for place, size in by_disk.values():
        _require_free(place, size, "free some space or place the archive elsewhere with --archive, then resume")


def require_for_passes(archive: Path, rows: int) -> None:
    """Raise Stopped when the archive's disk has no room for what passes over so many records lay aside there."""
    # Ids and hashes of two passes, and of the cutover file.
    _require_free(_existing(archive), 3 * rows * _HASH_ROW_BYTES, "free some space, then resume")


def _require_free(place: Path, size_bytes: int, advice: str) -> None:
    free = shutil.disk_usage(place).free
    if free < size_bytes + _RESERVE_BYTES:
        problem = f"the disk of {place} has {_gb(free)} free, about {_gb(size_bytes)} are needed"
        raise Stopped(problem, advice=advice)


def _text_bytes(profile: Profile) -> int:
    documents = profile.documents
    return profile.payload.size_bytes + documents.present * min(documents.longest_bytes, _DOCUMENT_BYTES)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
