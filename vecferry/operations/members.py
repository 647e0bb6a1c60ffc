"""One collection among many, as it stands: how far its migration is, its verdict, and why it did not get further."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vecferry import address, plain
from vecferry.address import Address
from vecferry.errors import ConfigError, DataError, PlanRefused, Stopped, UnsafeRoute, VecferryError
from vecferry.ledger import LIVE, Answer, Ledger, Migration, State
from vecferry.model import JsonObject, Verdict
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work

__all__ = ["RUN_FACT", "Member", "Outcome", "error_fact", "member_of", "most_serious", "place_of", "worst"]

RUN_FACT = "run"
"""The fact that keeps how a member's last run ended: `{"error": null}`, or the error as data."""

_ASKING = (State.READY, State.READS_NEW)

_BY_CODE: dict[int, type[VecferryError]] = {5: UnsafeRoute, 1: DataError, 4: PlanRefused, 2: ConfigError, 3: Stopped}
"""The most serious first: what may send readers to the wrong place, what differs, what needs a person's choice, and
last what only has to go on."""


class Outcome(StrEnum):
    """How far a member is."""

    DONE = "done"
    WAITING = "waits for approval"
    FAILED = "failed"
    STOPPED = "stopped"
    OPEN = "open"
    ENDED = "ended by a person"


@dataclass(frozen=True, slots=True)
class Member:
    """`rows` and `verdict` are None until they are known; `error` is why its last run went no further.

    `verified`: every record was compared (an export: read back) and found the same.
    """

    migration: Migration
    outcome: Outcome
    rows: int | None
    verdict: Verdict | None
    error: JsonObject | None
    verified: bool

    @property
    def source(self) -> Address:
        """The old collection."""
        return address.parse(self.migration.source_url)

    @property
    def label(self) -> str:
        """The old collection's name, with its tenant and database where it has such."""
        return place_of(self.source)


def place_of(source: Address) -> str:
    """A collection's name behind the tenant and the database that its address names."""
    within = [source.options[key] for key in ("tenant", "database") if key in source.options]
    return "/".join([*within, source.name])


def error_fact(error: VecferryError | None) -> JsonObject:
    """How a run ended, as data."""
    if error is None:
        return {"error": None}
    told = {"kind": type(error).__name__, "message": str(error), "advice": error.advice, "exit_code": error.exit_code}
    return {"error": told}


def member_of(ledger: Ledger, migration: Migration) -> Member:
    """A member as the ledger knows it."""
    run, verdict = ledger.fact(migration.id, RUN_FACT), ledger.fact(migration.id, "verdict")
    work = open_work(Ref(ledger.url, migration.id))
    outcome = _outcome(migration, run, switches=work.switches, answer=_answer(ledger, migration))
    return Member(
        migration,
        outcome,
        work.plan.rows if migration.planned_at is not None else None,
        None if verdict is None else plain.from_plain(Verdict, dict(verdict)),
        None if run is None or outcome is Outcome.DONE else run["error"],
        verified=migration.state in (*_ASKING, State.SWITCHED) and outcome is not Outcome.FAILED,
    )


def _answer(ledger: Ledger, migration: Migration) -> Answer | None:
    question = ledger.approval(migration.id) if migration.state in _ASKING else None
    return None if question is None else question.answer


def _outcome(migration: Migration, run: JsonObject | None, *, switches: bool, answer: Answer | None) -> Outcome:
    error = None if run is None else run["error"]
    if migration.state not in LIVE:
        return Outcome.ENDED
    if migration.state is State.READY and not switches:
        return Outcome.DONE
    if migration.state is State.SWITCHED and run is not None and error is None:
        return Outcome.DONE
    if error is not None and error["exit_code"] != Stopped.exit_code:
        return Outcome.FAILED
    if migration.state in _ASKING and answer is not Answer.APPROVED:
        return Outcome.WAITING
    return Outcome.OPEN if run is None and migration.planned_at is None else Outcome.STOPPED


def worst(members: Sequence[Member]) -> type[VecferryError] | None:
    """The group of errors of the most serious end among these; None when all are done."""
    return most_serious(_exit_code(one) for one in members)


def most_serious(exit_codes: Iterable[int]) -> type[VecferryError] | None:
    """The group of errors of the most serious exit code; None where none is an error's."""
    found = set(exit_codes)
    return next((kind for code, kind in _BY_CODE.items() if code in found), None)


def _exit_code(member: Member) -> int:
    if member.outcome is Outcome.DONE:
        return 0
    if member.outcome is Outcome.ENDED:
        return UnsafeRoute.exit_code
    return int(member.error["exit_code"]) if member.error is not None else Stopped.exit_code
