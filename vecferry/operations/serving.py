"""Which store serves a logical name now: what applications ask, so it loads the ledger and nothing else."""

from __future__ import annotations

from typing import NoReturn

from vecferry.errors import NotFound
from vecferry.ledger import Ledger, Route, Serving

__all__ = ["ask", "route"]


def ask(ledger: Ledger, name: str, workspace: str | None = None) -> Serving:
    """Where to read and write now, and whether writes wait, at one instant. Raises NotFound as `route` does."""
    found = ledger.ask_route(name, workspace)
    return found if found is not None else _unknown(ledger, name)


def route(ledger: Ledger, name: str, workspace: str | None = None) -> Route:
    """Which collection serves a logical name (or one workspace of it, by its key) now.

    Raises NotFound, naming the routes that exist.
    """
    found = ledger.route(name, workspace)
    return found if found is not None else _unknown(ledger, name)


def _unknown(ledger: Ledger, name: str) -> NoReturn:
    known = ", ".join(item.name for item in ledger.routes()) or "none yet"
    raise NotFound(f"no route is named {name!r}", advice=f"known routes: {known}")
