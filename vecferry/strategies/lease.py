"""One run at a time: a lease over the migration and the collection that it writes, held only while working."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from vecferry.errors import VecferryError
from vecferry.ledger import Holder, Lease, Ledger
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work

__all__ = ["TTL_S", "working"]

TTL_S = 60.0
"""A lease lives this long without a renewal; three heartbeats fit in."""


@contextmanager
def working(ref: Ref, *more: str) -> Iterator[Ref]:
    """The same `ref` with a lease's token; renewed in the background, given back at the end.

    `more` are resources to hold besides. Raises LockHeld when another run works on this migration or target.
    """
    work = open_work(ref)
    lease = work.ledger.acquire((*work.resources(), *more), Holder.here(), ttl_s=TTL_S)
    stop = threading.Event()
    beat = threading.Thread(target=_renew, args=(work.ledger, lease, stop), name="lease", daemon=True)
    beat.start()
    try:
        yield replace(ref, token=lease.token)
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
