"""How many collections ended, as one table."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry.ledger import Group
from vecferry.operations.members import Member, Outcome
from vecferry.strategies.sheets import Sheet

__all__ = ["members_sheet"]


def members_sheet(group: Group, members: Sequence[Member]) -> Sheet:
    """A line for each member of a group."""
    header = ("collection", "records", "state", "verdict", "migration", "how it ended")
    rows = tuple(
        (
            one.label,
            "" if one.rows is None else f"{one.rows:,}",
            one.migration.state.value,
            _verdict(one),
            one.migration.id,
            one.outcome + (f": {one.error['message']}" if one.outcome is Outcome.FAILED and one.error else ""),
        )
        for one in members
    )
    return Sheet("many", f"Group {group.id}: {group.source_url} -> {group.target_url}", header, rows)


def _verdict(member: Member) -> str:
    if member.verdict is not None:
        return member.verdict.state.value
    return "read back" if member.verified else ""
