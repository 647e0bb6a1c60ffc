"""A snapshot that the store's own server makes: fetched with its checksum, taken back whole by the target's server."""

from __future__ import annotations

import shutil
from pathlib import Path

from vecferry import failpoints
from vecferry.contract import Snapshots, Source, Target
from vecferry.errors import StoreRefused, TargetNotEmpty
from vecferry.ledger import State
from vecferry.model import Outcome
from vecferry.routing import naming
from vecferry.strategies.runner import Ref
from vecferry.strategies.snapshots import Snapshot, exported_digest, snapshot_of
from vecferry.strategies.steps.copy import mark_of
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, progress, retry
from vecferry.transfer.backup import CopiedFile, download_snapshot, list_files
from vecferry.transfer.backup_listing import Method
from vecferry.transfer.digest import digest_of
from vecferry.transfer.engine_name import minor_version

__all__ = ["begin_restore", "fetch_snapshot", "is_restorable", "is_restoring", "restore_snapshot"]

_RESTORING = "restoring"
"""The checksum of the snapshot that the target's server was asked to take back: the intent of that call."""


def is_restorable(work: Work) -> bool:
    """Whether the target's server would take back a snapshot of the source's as exactly what the plan says.

    Records as they are, in a collection that is made as it is: nothing encoded, no alias to be carried, no encoding of
    an earlier migration, and a server that is no older.
    """
    plan = work.plan
    old, new = handles.source(work.config.source.address()).snapshots(), work.target().snapshots()
    if old is None or new is None or plan.schema.mark:
        return False
    exact = all(one.outcome is Outcome.EXACT for one in plan.mapping.decisions)
    alike = exact and plan.schema.vectors == plan.mapping.target_schema.vectors
    if not alike or naming.aliases_of(plan.mapping.target_schema.features):
        return False
    made_by, read_by = minor_version(old.server_version()), minor_version(new.server_version())
    return bool(made_by) and made_by <= read_by


def snapshot_folder(work: Work) -> Path:
    """Where the fetched file lies: a backup of its own."""
    return work.backup_folder / Method.SNAPSHOT


def fetch_snapshot(work: Work) -> tuple[CopiedFile, ...]:
    """Let the server make a snapshot, fetch it by its checksum, remove it there. Raises DataDiffer, Stopped."""
    snapshots, content = _snapshots(handles.source(work.config.source.address())), snapshot_folder(work)
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir(parents=True)
    download_snapshot(snapshots, content)
    return tuple(list_files(content))


def _snapshots(store: Source) -> Snapshots:
    found = store.snapshots()
    if found is None:
        raise StoreRefused(f"{store.url} makes no snapshots any more", advice="plan the migration again")
    return found


def begin_restore(ref: Ref) -> None:
    """The target comes into being with the snapshot; from here on it is copied: state COPYING."""
    open_work(ref).move(State.PLANNED, State.COPYING, event="copy started")


def is_restoring(work: Work) -> bool:
    """Whether a target without a mark may be what an earlier run had the server take back."""
    return work.fact(_RESTORING) is not None


def restore_snapshot(ref: Ref) -> None:
    """Let the target's server take the snapshot back, and mark the collection as this migration's. Once.

    Raises TargetNotEmpty where something else came to be under its name, StoreRefused where the server refuses it.
    """
    work = open_work(ref)
    work.check()
    if work.fact("loaded") is not None:
        return
    found, target = snapshot_of(work), work.target()
    if not target.exists():
        _recover(work, target, found)
    elif not _is_mine(work, target):
        _require_recovered(work, target)
    _snapshots(target).adopt(mark_of(work))
    if not _is_mine(work, target):
        raise StoreRefused(f"{target.url} keeps no mark", advice="use Qdrant 1.16 or later, or leave the backup out")
    for row in work.slices():
        work.ledger.record_loaded(ref.migration, row.slice.number, ref.token)
    failpoints.reached("snapshot.restored")


def _is_mine(work: Work, target: Target) -> bool:
    return (target.mark() or {}).get("migration") == work.ref.migration


def _recover(work: Work, target: Target, found: Snapshot) -> None:
    (copy,) = found.files
    work.ledger.set_fact(work.ref.migration, _RESTORING, {"sha256": copy.sha256}, work.ref.token)
    _snapshots(target).recover(snapshot_folder(work) / copy.path, copy.sha256)
    failpoints.reached("snapshot.recovered")


def _require_recovered(work: Work, target: Target) -> None:
    """A run died between the server's work and the mark: what is there must be the snapshot, record by record."""
    config, wanted = work.config, exported_digest(work)
    progress.begin(work.ref.migration, "digest", work.plan.rows)
    if is_restoring(work):
        limits = work.limits("digest")
        if str(retry.call(config.retry_budget_s, lambda: digest_of(target, config.batch_rows, limits.moved))) == wanted:
            return
    raise TargetNotEmpty(
        f"{target.url} appeared since the plan was made, and is not the snapshot",
        advice="nothing was switched. See who made it; once it is gone, vecferry resume " + work.ref.migration,
    )
