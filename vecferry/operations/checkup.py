"""What an examination finds, as data: checks of one thing after the other, and how serious they are together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from vecferry.errors import VecferryError
from vecferry.operations.members import most_serious

__all__ = ["Check", "Checkup", "Findings", "Level", "failure"]

T = TypeVar("T")


class Level(StrEnum):
    """How a check ended. A note is worth knowing and nothing to mend; what was not checked is never well."""

    WELL = "well"
    NOTE = "note"
    NOT_CHECKED = "not checked"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `exit_code` is that of the error which it ended in, 0 where it did in none."""

    what: str
    level: Level
    says: str
    advice: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Checkup:
    """All checks of one subject: a store's URL, the ledger, a folder. `figures` are numbers and limits as data."""

    subject: str
    checks: tuple[Check, ...]
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.level is not Level.WRONG for check in self.checks)


class Findings:
    """Collects the checks of one subject; an error becomes a check instead of an end."""

    def __init__(self, subject: str, shown_as: str = "") -> None:
        self.figures: dict[str, Any] = {}
        self._subject, self._hidden = subject, shown_as
        self._checks: list[Check] = []

    def add(self, what: str, level: Level, says: str, advice: str = "") -> None:
        """Add a check."""
        code = 2 if level is Level.WRONG else 0
        self._checks.append(Check(what, level, says, advice, code))

    def attempt(self, what: str, function: Callable[[], T]) -> T | None:
        """What the function gives; None where it raised an error, which is added as a check."""
        try:
            return function()
        except VecferryError as error:
            self.failed(what, error)
            return None

    def failed(self, what: str, error: VecferryError) -> None:
        """Add an error as a check."""
        says, advice = (self._shown(text) for text in (str(error), error.advice))
        self._checks.append(Check(what, Level.WRONG, says, advice, error.exit_code))

    def _shown(self, text: str) -> str:
        """The URL as it was given: it was asked with a time limit of ours."""
        return text.replace(self._hidden, self._subject) if self._hidden else text

    def checkup(self) -> Checkup:
        """All of it."""
        return Checkup(self._subject, tuple(self._checks), self.figures)


def failure(found: Sequence[Checkup]) -> VecferryError | None:
    """The most serious of what is wrong, in one error; None where everything is well."""
    ill = [one for one in found if not one.is_well]
    wrong = [(one, check) for one in ill for check in one.checks if check.level is Level.WRONG]
    kind = most_serious(check.exit_code for _, check in wrong)
    if kind is None:
        return None
    first, check = next(pair for pair in wrong if pair[1].exit_code == kind.exit_code)
    what = f"{len(ill)} of {len(found)} not well; {first.subject}: {check.what}: {check.says}"
    return kind(what, advice=check.advice)
