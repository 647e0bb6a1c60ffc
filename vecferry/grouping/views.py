"""A collection as if it held the records of one group alone."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry.conditions import Condition
from vecferry.contract import Source, Target
from vecferry.forwarding import ForwardingSource, ForwardingTarget
from vecferry.mapping import Mapping

__all__ = ["SourceView", "TargetView", "target_view", "view"]


class SourceView(ForwardingSource):
    """Exactly the records of a source that a condition takes."""


class TargetView(ForwardingTarget):
    """Exactly the records of a target that a condition takes; what it writes and deletes are its own records."""


def view(inner: Source, condition: Condition) -> SourceView:
    """The records of a source, in original terms, that a condition takes. Closing it closes the source."""
    raise NotImplementedError


def target_view(
    inner: Target, condition: Condition, guards: Sequence[Condition] = (), mapping: Mapping | None = None
) -> TargetView:
    """The records of a target that a condition takes, raw as stored.

    `mapping`: how records came into the target, so that conditions are asked of payloads in original terms (None: as
    they are). `guards`: groups that this store serves already; a write never replaces one of their records, it raises
    StoreRefused naming ids. `delete` leaves records that are no longer of this group; `drop` deletes its records.
    """
    raise NotImplementedError
