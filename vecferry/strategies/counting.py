"""The counters that progress shows: the rows of a phase, and what an earlier run did of them."""

from __future__ import annotations

from collections.abc import Callable

from vecferry.ledger import SliceRow
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work
from vecferry.transfer import progress

__all__ = ["begin"]

_DONE: dict[str, Callable[[SliceRow], bool]] = {
    "export": lambda row: row.copied is not None,
    "load": lambda row: row.loaded_at is not None,
    "validate": lambda row: row.verified is not None,
}


def begin(ref: Ref, *phases: str) -> None:
    """Start (or, after a stop, go on with) the counters of these phases in this process."""
    work = open_work(ref)
    rows = work.slices()
    for phase in phases:
        done = sum(row.copied.rows for row in rows if row.copied is not None and _DONE[phase](row))
        progress.begin(ref.migration, phase, work.plan.rows, done)
