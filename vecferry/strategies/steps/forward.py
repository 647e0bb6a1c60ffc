"""Going forward again after a rollback: what must hold, the one transaction, and the proof before the verdict."""

from __future__ import annotations

from vecferry import failpoints
from vecferry.errors import DataDiffer, NotFound, UnsafeRoute
from vecferry.ledger import State
from vecferry.model import JsonObject
from vecferry.strategies.moved import MOVED_FACT
from vecferry.strategies.returning import is_of_files, old_address, old_store
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.rollback import RETURN_FACT
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, retry
from vecferry.transfer.late import Late

__all__ = ["require_known_alone", "require_returned", "take_forward_again"]

_OF_THE_COPY = ("inventory", "target identity", "load begun", "loaded", "backup", "flow_run", MOVED_FACT)
"""Facts that stay true: what the first copy was, and who started it."""

_OF_THE_SOURCE = ("identity",)
"""Those that stay true while the old store is the same collection."""

_AS_BLUE_GREEN = {"snapshot-restore": "blue-green"}
"""Strategies whose copy is done, and that go on as another one."""


def require_returned(ref: Ref) -> None:
    """Raise UnsafeRoute unless the rollback is over in all its parts, and both stores and the archive are there."""
    work = open_work(ref)
    _require_over(work)
    budget_s, again = work.config.retry_budget_s, "nothing was changed; start a new one with vecferry migrate"
    handles.release(work.config.source.address(), work.config.target.address(), old_address(work))
    target = work.target()
    mark = (target.mark() or {}).get("migration") if retry.call(budget_s, target.exists) else None
    if mark != work.owner:
        raise UnsafeRoute(f"{target.url} is gone, or is not what migration {work.owner} made", advice=again)
    try:
        work.archive.manifest()
        retry.call(budget_s, lambda: old_store(work).count())
    except NotFound as error:
        raise UnsafeRoute(f"the old store or the archive is gone: {error}", advice=again) from error
    handles.release(work.config.target.address(), old_address(work))


def _require_over(work: Work) -> None:
    name, state = work.migration.id, work.migration.state
    if state is not State.ROLLED_BACK:
        raise UnsafeRoute(
            f"migration {name} is {state}; only a ROLLED_BACK one goes forward again",
            advice=f"vecferry status {name} shows what can be done now",
        )
    paused = any(pause.released_at is None for pause in work.ledger.pauses(name))
    if paused or work.fact(RETURN_FACT) is None:
        raise UnsafeRoute(
            f"the rollback of {name} came to no end: its run died after the route had moved",
            advice=f"vecferry rollback {name} finishes it",
        )


def take_forward_again(ref: Ref, late: Late) -> None:
    """From here on it is CATCHING_UP: one transaction. `late`: what a look at the new store found that nobody knows.

    The old store is where the route leads, which may be a copy of its files. Raises DataDiffer for late records, before
    anything is changed.
    """
    work = open_work(ref)
    _require_known(work, late)
    old, config = old_address(work), work.migration.config
    is_same = str(old) == work.migration.source_url
    work.ledger.go_forward_again(
        ref.migration,
        source_url=str(old),
        config=config if is_same else _from(config, str(old)),
        strategy=_AS_BLUE_GREEN.get(work.migration.strategy, work.migration.strategy),
        keep=(*_OF_THE_COPY, *(_OF_THE_SOURCE if is_same else ())),
        token=ref.token,
    )
    failpoints.reached("forward.taken")


def _from(config: JsonObject, url: str) -> JsonObject:
    return {**config, "source": {**config["source"], "url": url}}


def require_known_alone(ref: Ref, late: Late) -> None:
    """Before the verdict of a migration that goes forward again: nobody wrote the new store. Raises DataDiffer."""
    if late:
        name = open_work(ref).migration.owner
        raise _strange(
            open_work(ref),
            late,
            f"nothing of it was overwritten, nothing switched. Find out who writes there and undo it, then vecferry "
            f"resume {name}; or start anew: vecferry abort {name}, then vecferry discard {name}",
        )


def _require_known(work: Work, late: Late) -> None:
    if not late:
        return
    name = work.migration.owner
    carried = f"vecferry merge {name} brings it into the old store; what that cannot hold delete from the new one"
    by_hand = "bring what counts into the old files by hand, and undo it in the new store"
    raise _strange(
        work,
        late,
        f"nothing of it was overwritten; {by_hand if is_of_files(work) else carried}. Then vecferry forward {name}; or "
        f"start anew: vecferry discard {name}",
    )


def _strange(work: Work, late: Late, advice: str) -> DataDiffer:
    return DataDiffer(
        f"{work.config.target.public()} holds what the old store and the archive do not know: {late}; all are in "
        f"{late.listed}",
        advice=advice,
    )
