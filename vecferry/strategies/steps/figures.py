"""What a rollback would come to now, kept while the migration is switched, so that nobody has to ask for it first."""

from __future__ import annotations

from vecferry import failpoints
from vecferry.ledger import Direction
from vecferry.model import JsonObject
from vecferry.strategies import telling
from vecferry.strategies.catching_up import open_deltas
from vecferry.strategies.reversing import does_follow
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.merge import Weighed
from vecferry.strategies.steps.rollback import foresee_return
from vecferry.strategies.work import open_work
from vecferry.transfer.merge import MergeCounts

__all__ = ["FIGURES_FACT", "keep_figures"]

FIGURES_FACT = "rollback figures"
"""What the last sync after the switch saw: records by what a rollback would do with them, seconds, pause, rights."""


def keep_figures(ref: Ref, found: Weighed, carried: MergeCounts | None) -> JsonObject:
    """Keep what is left to carry (`found`), and what this sync carried to the old store (None: it only looked)."""
    work = open_work(ref)
    left = [] if carried is None else open_deltas(work, Direction.REVERSE)  # met by a write: merged anew by the next
    pause_s, leads_to, copies = foresee_return(ref, found)
    figures: JsonObject = {
        "at": telling.serving(work).at.isoformat(),
        "reverse": "follow" if does_follow(work) else "hold",
        "would_be": found.counts.numbers(),
        "examples": {name: list(ids) for name, ids in found.counts.examples.items()},
        "still_changing": found.waiting + found.incomplete + sum(delta.receipt.rows for delta in left),
        "seconds": found.seconds,
        "pause_s": pause_s,
        "leads_to": leads_to,
        "copies_files": copies,
        "rights": "asked by this sync" if carried is not None else "asked once the rollback begins",
        "carried": None if carried is None else carried.numbers(),
        "listed": found.listed,
    }
    work.ledger.set_fact(ref.migration, FIGURES_FACT, figures, ref.token or None)
    failpoints.reached("figures.kept")
    return figures
