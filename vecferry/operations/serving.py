"""Which store serves a logical name now: what applications ask, so it loads the ledger and nothing else."""

from __future__ import annotations

from vecferry.errors import NotFound
from vecferry.ledger import Ledger, Route

__all__ = ["route"]


def route(ledger: Ledger, name: str) -> Route:
    """Which collection serves a logical name now. Raises NotFound, naming the routes that exist."""
    found = ledger.route(name)
    if found is None:
        known = ", ".join(item.name for item in ledger.routes()) or "none yet"
        raise NotFound(f"no route is named {name!r}", advice=f"known routes: {known}")
    return found
