"""A workspace whose copy a lost ledger knew of: what may have been copied is taken back, and the copy is made anew."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa

from vecferry import batch as columns
from vecferry.align import align
from vecferry.archive import Archive
from vecferry.contract import Target
from vecferry.mapping import Mapping
from vecferry.strategies.catching_up import same_of
from vecferry.strategies.work import Work
from vecferry.transfer import retry
from vecferry.transfer.ways import Forward

__all__ = ["UNPROVEN_FACT", "forget_unproven"]

UNPROVEN_FACT = "unproven copy"
"""`{"left": true}`: nobody knows how far the copy of this workspace came; false once it was taken back."""


def forget_unproven(work: Work, whole: Work) -> None:
    """Delete from the target what an earlier copy of this workspace wrote there; its archive is moved aside.

    Whatever was written to the target had been written to the archive before, so each record is held against that:
    one in another version is the application's, and stays. Does nothing where there was no such copy.
    """
    if not (work.fact(UNPROVEN_FACT) or {}).get("left") or work.scope is None:
        return
    folder, moved_to = work.archive_folder, None
    if Archive.collections(folder):
        target = work.scope.target(whole.target(), whole.plan.mapping)
        if retry.call(work.config.retry_budget_s, target.exists):
            _take_back(work, whole.plan.mapping, target)
        moved_to = _aside(folder)
        folder.rename(moved_to)
    told = {"left": False, "archive": None if moved_to is None else str(moved_to)}
    work.ledger.set_fact(work.ref.migration, UNPROVEN_FACT, told, work.ref.token)


def _take_back(work: Work, mapping: Mapping, target: Target) -> None:
    budget_s, same = work.config.retry_budget_s, same_of(Forward(mapping))
    archive = Archive.open(work.archive_folder, mapping.source_schema.name)
    for written in archive.written_to_target(work.config.batch_rows):
        work.check()
        expected = mapping.expected(mapping.travelling(columns.drop_hashes(written)))
        pairs = align(expected, retry.call(budget_s, partial(target.fetch, columns.ids_of(expected))))
        ours = pairs.actual.filter(pa.array(same(pairs.expected, pairs.actual).all(axis=1)))
        if ours.num_rows:
            retry.call(budget_s, partial(target.delete, columns.ids_of(ours)))


def _aside(folder: Path) -> Path:
    """A name beside it that is free."""
    number = 1
    while (found := folder.with_name(f"{folder.name}.unproven-{number}")).exists():
        number += 1
    return found
