"""What a sync did, as a table."""

from __future__ import annotations

from collections.abc import Iterator

from vecferry.strategies.sheets import Sheet
from vecferry.transfer.delta_making import Made
from vecferry.transfer.differences import Differences

__all__ = ["sync_sheet"]


def sync_sheet(migration: str, skipped: str, finished: int, found: Differences | None, made: Made | None) -> Sheet:
    """One row for each thing that was found or done."""
    title = f"Sync of {migration}"
    if skipped:
        return Sheet("sync", f"{title}: nothing to do", ("what", "found"), (("skipped", skipped),))
    rows = [("finished", f"{finished:,} deltas of an earlier run")] if finished else []
    rows += [*_found(found)] if found is not None else []
    rows += [*_made(made)] if made is not None else []
    return Sheet("sync", title, ("what", "found"), tuple(rows))


def _found(found: Differences) -> Iterator[tuple[str, str]]:
    yield "read", f"{found.rows:,} records; the store counts {found.counted:,}"
    yield "seen to differ", str(found)


def _made(made: Made) -> Iterator[tuple[str, str]]:
    yield "carried over", f"{made.new:,} new, {made.changed:,} changed, {made.gone:,} deleted"
    if made.again:
        yield "carried over once more", f"{made.again:,} that the way back had settled"
    if made.left_behind:
        yield "stayed behind", f"{made.left_behind:,} of these, as the plan says"
    if made.equal or made.unknown or made.within_tolerance:
        settled = made.equal + made.unknown + made.within_tolerance
        yield "settled meanwhile", f"{settled:,} were as known, or gone, when they were read again"
    if made.waiting:
        yield "waiting", f"{made.waiting:,} are gone; the next pass deletes them if they still are"
