"""Which records of a collection are read, where not all of them are wanted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EVERYTHING", "Narrower"]


@dataclass(frozen=True, slots=True)
class Narrower:
    """The records of a filter (`""`: all), of one partition (None: of all)."""

    expression: str = ""
    partition: str | None = None

    def within(self, expression: str) -> str:
        """A filter over keys, and this one."""
        return f"{expression} and {self.expression}" if self.expression else expression


EVERYTHING = Narrower()
