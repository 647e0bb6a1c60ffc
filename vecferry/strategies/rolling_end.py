"""The end of a rolling migration: all workspaces complete together, and the stores are dropped as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv

from vecferry.errors import UnsafeRoute
from vecferry.ledger import State, Workspace
from vecferry.model import Digest
from vecferry.strategies import steps, waves
from vecferry.strategies.ending import Ended, look_at_old, require_settled
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.ending import DECOMMISSIONED_FACT, GONE, was_proven
from vecferry.strategies.work import open_work
from vecferry.transfer.differences import Side
from vecferry.transfer.late import Late

__all__ = ["complete", "decommission", "discard"]


def complete(run: Runner, ref: Ref, accepted: str = "") -> Ended:
    """End the way back of every workspace, once all of them are switched and the old store was looked at again."""
    work = open_work(ref)
    if work.migration.state is State.COMPLETED:
        return Ended(already=True)
    open_ones = _require_all_switched(work.ledger.workspaces(ref.migration), ref.migration)

    def looked() -> Late:
        found = run.run(waves.look_at_wave, ref, open_ones, Side.SOURCE, completing=True)
        return _together(ref, Side.SOURCE, found)

    late = look_at_old(ref.migration, accepted, looked)
    if late is not None:
        again = f"vecferry complete {ref.migration}"
        require_settled(str(work.config.source.public()), late, accepted, again)
    run.run(waves.end_ways_back, ref, open_ones, late, accepted)
    return Ended(late=late)


def _require_all_switched(found: Sequence[Workspace], name: str) -> list[int]:
    """The numbers of those that are not completed yet. Raises UnsafeRoute where one is not switched."""
    left = [one for one in found if one.state not in (State.SWITCHED, State.COMPLETED)]
    if left or not found:
        first = f"workspace {left[0].key} is {left[0].state}" if left else "it has no workspaces yet"
        raise UnsafeRoute(
            f"migration {name} cannot be completed: {first}, and {max(0, len(left) - 1):,} others are not SWITCHED",
            advice=f"vecferry workspaces {name} shows them; vecferry resume {name} goes on",
        )
    return [one.number for one in found if one.state is State.SWITCHED]


def decommission(run: Runner, ref: Ref, collection: str, accepted: str = "") -> Ended:
    """Drop the old collection, once a last look found in it only what the archives of all workspaces hold."""
    work = open_work(ref)
    if work.fact(DECOMMISSIONED_FACT) is not None:
        return Ended(already=True)
    old = work.config.source.public()
    with working(ref) as held:
        run.run(steps.require_droppable, held, collection)
        is_there = run.run(steps.old_is_there, held)
    late = None
    if is_there:
        late = _together(ref, Side.SOURCE, run.run(waves.look_at_wave, ref, _all(ref), Side.SOURCE))
        again = f"vecferry decommission {ref.migration} --collection {collection}"
        require_settled(str(old), late, accepted, again)
    with working(ref, f"target:{old}") as held:
        run.run(steps.require_droppable, held, collection)
        return Ended(late=late, dropped=run.run(steps.drop_old, held, GONE if late is None else late.digest))


def discard(run: Runner, ref: Ref, accepted: str = "") -> Ended:
    """Drop the target, once every workspace has ended without being served by it."""
    with working(ref) as held:
        is_there = run.run(steps.require_discardable, held)
        run.run(steps.wait_out_writes, held)
    late = None
    proven = [
        one.number for one in open_work(ref).ledger.workspaces(ref.migration) if was_proven(Ref(ref.ledger, one.child))
    ]
    if is_there and proven:
        late = _together(ref, Side.TARGET, run.run(waves.look_at_wave, ref, proven, Side.TARGET))
        require_settled(str(open_work(ref).config.target.public()), late, accepted, f"vecferry discard {ref.migration}")
    with working(ref) as held:
        return Ended(late=late, dropped=run.run(steps.drop_new, held))


def _all(ref: Ref) -> list[int]:
    return [one.number for one in open_work(ref).ledger.workspaces(ref.migration)]


def _together(ref: Ref, side: Side, found: Sequence[Late]) -> Late:
    """What the looks at all workspaces came to, with one list and one digest."""
    total = Late(rows=sum(one.rows for one in found))
    lists = [csv.read_csv(one.listed, convert_options=_TEXTS) for one in found if one.listed]
    if not lists:
        return total
    path = Path(open_work(ref).whole_folder) / "reports" / f"{ref.migration}.late-in-{side}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    csv.write_csv(pa.concat_tables(lists), path)
    counts = {change: sum(one.counts.get(change, 0) for one in found) for change in found[0].counts}
    examples = {change: tuple(name for one in found for name in one.examples.get(change, ())) for change in counts}
    digest = sum((Digest.parse(one.digest) for one in found), Digest())
    return Late(total.rows, counts, examples, str(digest), str(path))


_TEXTS = csv.ConvertOptions(column_types={name: pa.string() for name in ("change", "id_kind", "id")})
