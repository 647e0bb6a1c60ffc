"""Phases 3 and 4: export each slice to Parquet, load its part into the target."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from vecferry import failpoints
from vecferry.archive import verify
from vecferry.errors import ArchiveDamaged, DataDiffer, TargetNotEmpty, UnsafeRoute
from vecferry.ledger import SliceRow, State
from vecferry.model import Receipt
from vecferry.strategies.runner import Ref
from vecferry.strategies.strangers import require_own
from vecferry.strategies.work import Work, open_work
from vecferry.transfer.decoded import make_mark
from vecferry.transfer.export import export_slice as export_to_part
from vecferry.transfer.load import load_part

__all__ = ["at_most", "copy_slice", "export_slice", "finish_export", "finish_load", "mark_of", "prepare"]


def prepare(ref: Ref) -> None:
    """Create the target with this migration's mark, indexing off. From here on rows move: state COPYING."""
    work = open_work(ref)
    if work.fact("loaded"):
        return
    target = work.target()
    if not target.exists():
        _require_unserved(work)
        _forget_loads(work)
        target.create(work.target_schema, mark_of(work))
        failpoints.reached("prepare.created")
    elif (target.mark() or {}).get("migration") != work.owner:
        raise TargetNotEmpty(f"{target.url} appeared since the plan was made, and this migration did not make it")
    if work.once("load begun", lambda: {"in_bulk": not _is_served(work)})["in_bulk"] and not _is_served(work):
        target.begin_load()
    work.move(State.PLANNED, State.COPYING, event="copy started")


def _is_served(work: Work) -> bool:
    """Whether other workspaces are served by the target already; then it stays as applications need it."""
    return work.scope is not None and bool(work.scope.served)


def _require_unserved(work: Work) -> None:
    if _is_served(work):
        raise UnsafeRoute(
            f"{work.config.target.public()} is gone, and it served workspaces",
            advice=f"nothing was made in its place; vecferry status {work.owner} shows which",
        )


def _forget_loads(work: Work) -> None:
    """A target that somebody dropped is filled anew: what the ledger says was loaded into it is gone."""
    for row in work.slices():
        if row.loaded_at is not None:
            work.ledger.forget_load(work.ref.migration, row.slice.number, work.ref.token)


def mark_of(work: Work) -> dict[str, object]:
    """What tells the target as this migration's own."""
    return make_mark(
        migration=work.owner,
        archive=str(work.whole_folder),
        source=str(work.config.source.public()),
        mapping=work.plan.mapping,
    )


def copy_slice(ref: Ref, number: int) -> int:
    """Export one slice to its part and load it; what the ledger says is done is not done again. Returns its rows."""
    work = open_work(ref)
    row = work.slice(number)
    receipt = _export(work, row)
    if row.loaded_at is None:
        with at_most("load", work, work.target().capabilities().parallel_writes):
            before = partial(require_own, work) if _is_served(work) else None
            load_part(work.archive, number, work.plan.mapping, work.target(), work.limits("load"), before)
        work.ledger.record_loaded(ref.migration, number, ref.token)
        failpoints.reached("copy.slice_recorded")
    return receipt.rows


def export_slice(ref: Ref, number: int) -> int:
    """Export one slice to its part. Returns its rows."""
    work = open_work(ref)
    return _export(work, work.slice(number)).rows


def _export(work: Work, row: SliceRow) -> Receipt:
    if row.copied is not None:
        return row.copied
    source = work.source()
    with at_most("export", work, source.capabilities().parallel_reads):
        receipt = export_to_part(source, work.plan.schema, row.slice, work.archive, work.limits("export"))
    work.ledger.record_copied(work.ref.migration, row.slice.number, receipt, work.ref.token)
    failpoints.reached("copy.part_recorded")
    return receipt


def finish_load(ref: Ref) -> None:
    """Make the target whole: index on and ready, staged files in place, the manifest written; handles closed.

    Closing matters: what validates opens the target anew.
    """
    work = open_work(ref)

    def finish() -> dict[str, object]:
        if (work.fact("load begun") or {"in_bulk": True})["in_bulk"]:
            work.target().finish_load()
        work.commit_manifest()
        failpoints.reached("load.finished")
        return {"rows": sum(row.copied.rows for row in work.slices() if row.copied)}

    work.move(State.COPYING, State.CATCHING_UP, event="copied")
    work.once("loaded", finish)
    work.release()


def finish_export(ref: Ref) -> None:
    """Write the manifest, then read the whole archive back: every checksum, id, record and digest. State READY."""
    work = open_work(ref)
    _require_all_rows(work)
    work.move(State.COPYING, State.CATCHING_UP, event="exported")
    work.commit_manifest()
    work.move(State.CATCHING_UP, State.VERIFYING, event="archive is whole")
    found = verify(work.archive, deep=True)
    work.release()
    if not found.sound:
        raise ArchiveDamaged(f"{work.archive.place} does not read back as it was written: {found.damages[0]}")
    work.move(State.VERIFYING, State.READY, event="verified", detail={"digest": str(work.archive.manifest().digest)})


def _require_all_rows(work: Work) -> None:
    """Raise DataDiffer when the parts hold another number of records than the inventory counted."""
    exported = sum(row.copied.rows for row in work.slices() if row.copied)
    if exported != work.plan.rows:
        raise DataDiffer(
            f"{work.config.source.public()} changed under the export: {work.plan.rows:,} records were counted, "
            f"{exported:,} were exported",
            advice="pause the application's writes, then export again into a new folder",
        )


_gates: dict[tuple[str, str], threading.Semaphore] = {}
_gates_lock = threading.Lock()


@contextmanager
def at_most(phase: str, work: Work, limit: int) -> Iterator[None]:
    """No more slices at once than the store gains from (or bears), whatever the number of workers."""
    with _gates_lock:
        gate = _gates.setdefault((work.ref.migration, phase), threading.Semaphore(limit))
    with gate:
        yield
