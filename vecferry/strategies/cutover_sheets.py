"""What a switch did, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecferry.strategies.sheets import Sheet
from vecferry.transfer.late import Late

__all__ = ["cutover_sheet", "cutover_words", "told", "watch_sheet"]

_PAUSED_BY = {
    "hook": "the application said that it had paused",
    "route": "the application was asked through the route only",
}


def cutover_sheet(migration: str, found: Mapping[str, Any], late: Late) -> Sheet:
    """One row for each thing that was measured."""
    rows = [*cutover_words(found), ("late in the old store", _late(late))]
    return Sheet("cutover", f"Switch of {migration}", ("what", "found"), tuple(rows))


def watch_sheet(migration: str, found: Mapping[str, Any]) -> Sheet:
    """Reads are new, writes are not yet: what to look at meanwhile."""
    left = f"from {told(found['ends'])}, in {found['left_s']:,.0f} s" if found["left_s"] else "now"
    rows = (
        ("reads", f"{found['reads']}, since {told(found['since'])}"),
        ("writes", found["writes"]),
        ("lag", f"{found['lag_s']:,.0f} s; the last pass found {found['differences']:,} differences"),
        ("writes may follow", left),
        ("keep it close", f"vecferry sync {migration}"),
        ("send reads back", f"vecferry rollback {migration}"),
    )
    return Sheet("watch", f"Watch of {migration}: reads are new, writes are not", ("what", "found"), rows)


def told(moment: str) -> str:
    """A moment in UTC as people read it."""
    return f"{moment[:19].replace('T', ' ')} UTC"


def cutover_words(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pause, and what was carried over under it."""
    if not found:
        return []
    return [
        ("writes paused", f"for {found['paused_s']:,.1f} s; {_PAUSED_BY[found['paused_by']]}"),
        ("carried over meanwhile", f"{found['carried_rows']:,} records"),
    ]


def _late(late: Late) -> str:
    return f"{late}; all are in {late.listed}" if late else "nothing was seen to change since"
