"""Syncs after the switch: the old store follows the new one, or nothing is written, and a rollback is foreseen.

What both stores changed is listed and left as it is; the rest goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vecferry.errors import UnsafeRoute
from vecferry.ledger import Direction
from vecferry.model import JsonObject
from vecferry.strategies import steps
from vecferry.strategies.catching_up import open_deltas
from vecferry.strategies.lease import syncing
from vecferry.strategies.merge import carry_back, weigh
from vecferry.strategies.returning import Settlement
from vecferry.strategies.reversing import does_follow
from vecferry.strategies.rollback_sheets import figures_sheet
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.merge import Weighed
from vecferry.strategies.work import open_work
from vecferry.transfer.brakes import Release

__all__ = ["Followed", "carry_what_is_open", "follow_back"]

_FOLLOWING = Settlement(by="a sync", follows=True)


@dataclass(frozen=True, slots=True)
class Followed:
    """`figures`: what a rollback would come to after this sync, and what it carried (`carried` None: it only looked).

    `problem`: conflicts that are open.
    """

    figures: JsonObject
    problem: UnsafeRoute | None = None

    @property
    def carried(self) -> int:
        """Records that were written to the old store, or removed from it."""
        counts = self.figures["carried"] or {}
        return sum(counts.get(name, 0) for name in ("new", "changed", "deleted"))


def follow_back(run: Runner, ref: Ref, release: Release) -> Followed:
    """Carry back, or only look; and keep the figures. Raises UnsafeRoute where a brake holds, or rights are missing."""
    work = open_work(ref)
    if not does_follow(work):
        with syncing(ref) as held:
            run.run(steps.preflight_rollback, held)
            figures = run.run(steps.keep_figures, held, weigh(run, held, Settlement()), None)
    else:
        with syncing(ref, f"target:{work.config.source.public()}") as held:
            run.run(steps.preflight_rollback, held)
            run.run(steps.probe_rights, held)
            found = carry_back(run, held, replace(_FOLLOWING, release=release))
            figures = run.run(steps.keep_figures, held, _left(found.last), found.written)
    run.show(figures_sheet(ref.migration, figures))
    return Followed(figures, _conflicts(ref, figures))


def carry_what_is_open(run: Runner, held: Ref) -> None:
    """Where another run left something open that it carried back: merge that anew, with all that came since."""
    work = open_work(held)
    if does_follow(work) and open_deltas(work, Direction.REVERSE):
        run.run(steps.preflight_rollback, held)
        run.run(steps.probe_rights, held)
        carry_back(run, held, _FOLLOWING)


def _left(found: Weighed) -> Weighed:
    """What is left for a rollback once this was carried."""
    done = ("new", "changed", "deleted", "same", "settled")
    examples = {name: ids for name, ids in found.counts.examples.items() if name not in done}
    return replace(found, counts=replace(found.counts, **dict.fromkeys(done, 0), examples=examples))


def _conflicts(ref: Ref, figures: JsonObject) -> UnsafeRoute | None:
    count, listed = figures["would_be"]["conflicts"], figures["listed"].get("conflicts")
    if not count or listed is None:
        return None
    names = ", ".join(figures["examples"].get("conflicts", ())[:5])
    return UnsafeRoute(
        f"{count:,} records were changed in both stores in different ways, for example {names}",
        advice=f"they are as they were, the rest was carried over. Make both alike in both stores; or decide each in "
        f"{listed}, for the time of a rollback: vecferry rollback {ref.migration} --conflicts {listed}",
    )
