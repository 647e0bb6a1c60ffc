"""One run at a time: a lease over the migration and the collection that it writes, held only while working."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from vecferry.errors import VecferryError
from vecferry.ledger import Holder, Lease, Ledger
from vecferry.strategies import telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work

__all__ = ["TTL_S", "syncing", "working", "working_before_sync"]

TTL_S = 60.0
"""A lease lives this long without a renewal; three heartbeats fit in."""

_TICK_S = 0.2


@contextmanager
def working(ref: Ref, *more: str) -> Iterator[Ref]:
    """The same `ref` with a lease's token; renewed in the background, given back at the end.

    `more` are resources to hold besides. Raises LockHeld when another run works on this migration or target.
    """
    work = open_work(ref)
    with _kept(work, work.ledger.acquire((*work.resources(), *more), Holder.here(), ttl_s=TTL_S)) as held:
        yield held


@contextmanager
def syncing(ref: Ref, *more: str) -> Iterator[Ref]:
    """`working`, for a run that gives way to a rollback."""
    with working(ref, _sync(ref), *more) as held:
        yield held


@contextmanager
def working_before_sync(ref: Ref, *more: str) -> Iterator[Ref]:
    """`working`, for what cannot wait for a sync of the same migration: that is cut off, and its end waited for.

    The fence is its token: it stops at its next batch, closes its stores, and gives back what it still holds. One that
    does not is waited for until its lease would have expired.
    """
    work = open_work(ref)
    resources = (*work.resources(), *more)
    with _kept(work, work.ledger.acquire_before(resources, Holder.here(), TTL_S, _sync(ref))) as held:
        _wait_for_sync(open_work(held))
        yield held


def _sync(ref: Ref) -> str:
    return f"sync:{ref.migration}"


def _wait_for_sync(work: Work) -> None:
    while (sync := work.ledger.holder(_sync(work.ref))) is not None:
        if sync.holder.is_dead() or sync.expires_at <= telling.serving(work).at:
            return
        work.check()
        time.sleep(_TICK_S)


@contextmanager
def _kept(work: Work, lease: Lease) -> Iterator[Ref]:
    stop = threading.Event()
    beat = threading.Thread(target=_renew, args=(work.ledger, lease, stop), name="lease", daemon=True)
    beat.start()
    try:
        yield replace(work.ref, token=lease.token)
    finally:
        stop.set()
        beat.join()
        work.release()
        work.ledger.release(lease)


def _renew(ledger: Ledger, lease: Lease, stop: threading.Event) -> None:
    while not stop.wait(TTL_S / 3):
        try:
            ledger.renew(lease)
        except VecferryError:
            continue  # the next beat tries again; steps check the token themselves before each write
