"""What applications ask: which collection serves a name."""

from __future__ import annotations

from vecferry import plain
from vecferry.cli.result import Result
from vecferry.ledger import Ledger
from vecferry.operations import serving

__all__ = ["route"]


def route(ledger_place: str | None, name: str) -> Result:
    """Which collection serves a name."""
    found = serving.route(Ledger.open(ledger_place), name)
    document = {
        "name": found.name,
        "url": found.url,
        "epoch": found.epoch,
        "previous_url": found.previous_url,
        "migration": found.migration,
        "changed_at": found.changed_at.isoformat(),
        "alias": plain.to_plain(found.alias),
        "alias_confirmed": found.alias_confirmed_at is not None,
    }
    return Result(document, (found.url,))
