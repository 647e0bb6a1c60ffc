"""One question for several workspaces: each has a question of its own, and one answer is given to all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from vecferry.errors import UnsafeRoute
from vecferry.ledger import Answer, Approval, Kind, Ledger
from vecferry.strategies.reversing import reversed_words
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.strategies.steps.approval import approval_form, approved, pause_s
from vecferry.strategies.work import open_work

__all__ = ["answer_wave", "settle_wave", "wave_form"]

_MAX_NAMED = 20


def wave_form(ref: Ref, numbers: Sequence[int]) -> ApprovalForm | None:
    """The question for these workspaces, less those that have their yes; None where nothing is to ask.

    The yes to it is bound to the question of each: to its verdict, its route and its limits.
    """
    work = open_work(ref)
    asked: dict[str, int] = {}
    lines: list[str] = []
    for one in work.ledger.workspaces(ref.migration):
        child = Ref(ref.ledger, one.child)
        if one.number not in set(numbers) or approved(child, form := approval_form(child)):
            continue
        asked[one.child] = form.number
        seconds = pause_s(open_work(child))
        lines.append(f"workspace {one.key}: {one.rows:,} records, every one compared; pauses about {seconds:,.0f} s")
    if not asked:
        return None
    shown = lines[:_MAX_NAMED]
    if len(lines) > _MAX_NAMED:
        shown.append(f"and {len(lines) - _MAX_NAMED:,} more: vecferry workspaces {ref.migration}")
    told = [*shown, *_common(ref)]
    config = work.config
    content = {"lines": told, "questions": asked}
    number = work.ledger.ask_approval(ref.migration, content, kind=Kind.WORKSPACES, valid_for_s=config.approve_valid_s)
    title = f"Switch {len(asked):,} workspaces of {work.migration.route!r} to the new store?"
    return ApprovalForm(ref.migration, number, title, tuple(told))


_MOVED = {
    "hold": "records that changed their workspace across the two stores are listed, and stay where they are",
    "follow": "records that changed their workspace across the two stores are carried along, also to the old one",
}


def _common(ref: Ref) -> list[str]:
    work = open_work(ref)
    config = work.config
    return [
        f"one after the other: {config.source.public()} -> {config.target.public()}, each under a pause of its own",
        "a pause has to cover every writer that can move records into or out of its workspace",
        f"what changed since is carried over under each pause, at most {config.max_final_delta:,} records",
        *reversed_words(config, ref.migration),
        _MOVED[work.rolling.moved],
        f"way back of one: vecferry rollback {ref.migration} --workspace KEY; the others stay",
        f"a yes is good for one switch of each, and for {config.approve_valid_s / 3600:,.0f} h",
    ]


def settle_wave(ref: Ref) -> None:
    """Pass on a yes that was given while nobody was running, to all that it was asked for."""
    ledger = open_work(ref).ledger
    found = ledger.approval(ref.migration)
    if found is not None and found.answer is Answer.APPROVED and found.used_at is None and "questions" in found.form:
        with contextlib.suppress(UnsafeRoute):  # it has ended, or the route moved on: it is asked anew
            _use(ledger, found)


def answer_wave(ref: Ref, form: ApprovalForm, *, yes: bool, by: str = "a person") -> None:
    """Give the answer to the question, and a yes to that of each workspace. A second time changes nothing.

    Raises UnsafeRoute where the question has ended.
    """
    ledger = open_work(ref).ledger
    found = ledger.answer_approval(ref.migration, form.number, Answer.APPROVED if yes else Answer.REJECTED, by=by)
    if yes:
        _use(ledger, found)


def _use(ledger: Ledger, found: Approval) -> None:
    """The yes of each workspace, then the end of this one. A workspace that was asked anew since has none."""
    for child, number in found.form["questions"].items():
        newest = ledger.approval(child)
        if newest is not None and newest.number == number and newest.answer is None:
            ledger.answer_approval(child, number, Answer.APPROVED, by=found.answered_by or "a person")
    ledger.use_approval(found.migration, found.number, kind=Kind.WORKSPACES)
