"""The steps of a snapshot-restore as tasks: one decorator, one call."""

from __future__ import annotations

from typing import Any

from prefect import Task

from tasks.making import step as _step
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.strategies.snapshots import Moment, Need, Snapshot

__all__ = ["TASKS"]


@_step("choose snapshot")
def choose_snapshot(ref: Ref) -> None:
    """Decide how the snapshot is taken; measure the old store."""
    steps.choose_snapshot(ref)


@_step("is the pause held")
def is_source_frozen(ref: Ref) -> bool:
    """Whether the pause of an earlier run holds yet."""
    return steps.is_source_frozen(ref)


@_step("preflight snapshot")
def preflight_snapshot(ref: Ref) -> None:
    """Stop what cannot work before anything pauses."""
    steps.preflight_snapshot(ref)


@_step("freeze source")
def freeze_source(ref: Ref, approval: int | None) -> None:
    """Use the yes, and pause the writes in the ledger."""
    steps.freeze_source(ref, approval)


@_step("begin digest")
def begin_digest(ref: Ref, token: int, moment: Moment) -> list[int]:
    """Open the old store anew for a digest; the slices to read."""
    return steps.begin_digest(ref, token, moment)


@_step("digest slice {number}")
def digest_slice(ref: Ref, number: int) -> int:
    """Lay a slice's ids and hashes aside; the slice's rows."""
    return steps.digest_slice(ref, number)


@_step("end digest")
def end_digest(ref: Ref) -> str:
    """The digest of the old store."""
    return steps.end_digest(ref)


@_step("begin snapshot")
def begin_snapshot(ref: Ref, token: int, digest: str) -> Need:
    """What of an earlier snapshot still counts."""
    return steps.begin_snapshot(ref, token, digest)


@_step("copy files")
def copy_store_files(ref: Ref) -> None:
    """Copy the files, where the snapshot is one of files."""
    steps.copy_store_files(ref)


@_step("export slice {number}")
def export_snapshot(ref: Ref, number: int) -> int:
    """Write a part of the archive from the snapshot; its rows."""
    return steps.export_snapshot(ref, number)


@_step("require unchanged")
def require_unchanged(ref: Ref, digest: str) -> Snapshot:
    """Hold the digest after the snapshot against the one before it."""
    return steps.require_unchanged(ref, digest)


@_step("begin restore")
def begin_restore(ref: Ref) -> None:
    """The target comes into being with the snapshot."""
    steps.begin_restore(ref)


@_step("restore snapshot")
def restore_snapshot(ref: Ref) -> None:
    """Let the target's server take the snapshot back."""
    steps.restore_snapshot(ref)


@_step("freeze snapshot")
def freeze_snapshot(ref: Ref, token: int) -> None:
    """The new store is proven under the pause."""
    steps.freeze_snapshot(ref, token)


@_step("require pinned")
def require_pinned(ref: Ref, token: int) -> None:
    """Right before the switch: what is known is what the digest pins."""
    steps.require_pinned(ref, token)


TASKS: dict[str, Task[..., Any]] = {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
"""Each step's name, and its task."""
