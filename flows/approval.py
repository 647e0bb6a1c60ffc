"""The question before the switch: the flow run pauses, a person answers in the UI or on the command line."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from uuid import UUID

from httpx import HTTPError
from prefect import get_client, get_run_logger
from prefect.exceptions import FlowPauseTimeout, PrefectException
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Running

from flows import outbox
from vecferry.errors import Stopped
from vecferry.ledger import Answer, Ledger
from vecferry.strategies.runner import ApprovalForm

__all__ = ["Choice", "SwitchForm", "ask"]

POLL_S = 2
"""Between two looks at the server (and at the ledger) for an answer."""


class Choice(StrEnum):
    """approve: switch. reject: change nothing."""  # Prefect's form shows this text above the choice.

    APPROVE = "approve"
    REJECT = "reject"


class SwitchForm(RunInput):
    """The form in the UI. There is no default: resuming without a choice changes nothing."""

    decision: Choice


def ask(ledger_url: str, form: ApprovalForm, timeout_s: float) -> bool:
    """Whether the switch is approved. Call it in the flow's own thread: from a task's it would wait for ever.

    Raises Stopped when nobody answers in time.
    """
    ledger = Ledger.open(ledger_url)
    outbox.try_to_send(ledger)
    get_run_logger().info("%s Answer in the UI (Resume), or: vecferry approve %s", form.title, form.migration)
    try:
        with _answers_from(ledger, form):
            answer = pause_flow_run(
                wait_for_input=SwitchForm.with_initial_data(description=_markdown(form)),
                key=f"switch-{form.migration}-{form.number}-{flow_run.run_count}",
                timeout=max(1, round(timeout_s)),
                poll_interval=POLL_S,
            )
    except FlowPauseTimeout as error:
        _run_again()
        raise Stopped(
            f"nobody answered within {timeout_s:,.0f} s; nothing was switched",
            advice=f"vecferry approve {form.migration}, then run this flow with migration_id={form.migration}",
        ) from error
    return answer.decision is Choice.APPROVE


def _run_again() -> None:
    """Leave the pause: for a paused run past its limit the server would put words of its own in place of ours."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(flow_run.id), Running(), force=True)


def _markdown(form: ApprovalForm) -> str:
    lines = "\n".join(f"* {line}" for line in form.lines)
    return f"## {form.title}\n\n{lines}\n\nMigration `{form.migration}`, question {form.number}."


def _answer(ledger: Ledger, form: ApprovalForm) -> Choice | None:
    """What the ledger knows of this very question."""
    found = ledger.approval(form.migration, form.number)
    if found is None or found.answer is None:
        return None
    return Choice.APPROVE if found.answer is Answer.APPROVED else Choice.REJECT


@contextmanager
def _answers_from(ledger: Ledger, form: ApprovalForm) -> Iterator[None]:
    """Meanwhile, resume the paused flow run with the answer that `vecferry approve` wrote into the ledger."""
    stop = threading.Event()
    # Without a copy of the context the thread would not know the server of this flow run.
    watch = contextvars.copy_context().run
    thread = threading.Thread(target=watch, args=(_watch, ledger, form, UUID(flow_run.id), stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(ledger: Ledger, form: ApprovalForm, flow_run_id: UUID, stop: threading.Event) -> None:
    while not stop.wait(POLL_S):
        answer = _answer(ledger, form)
        if answer is not None:
            _resume(flow_run_id, answer)


def _resume(flow_run_id: UUID, answer: Choice) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.resume_flow_run(flow_run_id, run_input={"decision": answer.value})
        except (HTTPError, PrefectException) as error:
            # The next look tries again: the server may be away, or the run not quite paused yet.
            get_run_logger().debug("not resumed yet: %s", error)
