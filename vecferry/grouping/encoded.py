"""Whether the target still tells the groups of records apart once a mapping has rewritten their payloads."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry.conditions import Condition
from vecferry.mapping import Mapping

__all__ = ["not_carried"]


def not_carried(conditions: Sequence[Condition], mapping: Mapping) -> str:
    """Why records cannot be told apart by these conditions in the target, in a sentence; `""` where they can."""
    raise NotImplementedError
