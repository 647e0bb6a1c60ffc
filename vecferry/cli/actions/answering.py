"""Resume, approve, unpause, forward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vecferry.cli.actions import many_runs
from vecferry.cli.actions.prefect_runs import resume_paused
from vecferry.cli.actions.runs import conduct
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.ledger import Holder, Ledger
from vecferry.operations import forward as operations
from vecferry.operations import look, migrations, pausing
from vecferry.strategies.runner import Ref

__all__ = ["approve", "forward", "resume", "unpause"]


def resume(screen: Screen, ledger_place: str | None, text: str) -> Result:
    """Go on from wherever it stopped: one migration, or all of a group."""
    group = many_runs.group_of(ledger_place, text)
    if group is not None:
        return many_runs.resume(screen, ledger_place, group)
    ledger, ref = _named(screen, ledger_place, text)
    return conduct(screen, ledger, ref)


def forward(screen: Screen, ledger_place: str | None, text: str, workspaces: Sequence[str]) -> Result:
    """Lead a rolled back migration forward again; of a rolling one these workspaces."""
    ledger, ref = _named(screen, ledger_place, text)
    return conduct(screen, ledger, ref, partial(operations.forward, ref=ref, names=workspaces))


def approve(screen: Screen, ledger_place: str | None, text: str, *, yes: bool) -> Result:
    """Answer in the ledger; a flow run that is paused for the answer goes on."""
    ledger, ref = _named(screen, ledger_place, text)
    number = migrations.approve(ledger, ref.migration, yes=yes, by=Holder.here().user)
    question = ledger.approval(ref.migration, number)
    lines = [] if question is None else list(question.form.get("lines", []))
    flow = resume_paused(ledger, ref.migration, approved=yes)
    answer = "approved" if yes else "rejected"
    commands = () if flow and flow["resumed"] else look.status(ledger, ref.migration).next_commands
    document = {
        "migration": ref.migration,
        "approval": number,
        "answer": answer,
        "form": lines,
        "flow_run": flow,
        "next_commands": list(commands),
    }
    said = [f"Migration {ref.migration}: question {number} {answer}", *(f"  * {line}" for line in lines)]
    if flow:
        said.append(f"flow run {flow['flow_run']}: {flow['detail']}")
    return Result(document, ("\n".join([*said, *(f"next: {command}" for command in commands)]),))


def unpause(screen: Screen, ledger_place: str | None, text: str) -> Result:
    """Release its pauses by hand."""
    ledger, ref = _named(screen, ledger_place, text)
    done = pausing.unpause(ledger, ref.migration, Holder.here().user)
    commands = look.status(ledger, ref.migration).next_commands
    released = [
        {"route": one.route, "workspace": one.workspace, "pause": one.token, "paused_at": one.paused_at.isoformat()}
        for one in done.released
    ]
    document = {"migration": ref.migration, "released": released, "next_commands": list(commands)}
    said = [f"Migration {ref.migration}: {_pauses(len(released))}"]
    return Result(document, ("\n".join([*said, *(f"next: {command}" for command in commands)]),), done.error)


def _pauses(number: int) -> str:
    if number == 0:
        return "no writes were paused"
    return "writes are released" if number == 1 else f"the writes of {number} workspaces are released"


def _named(screen: Screen, ledger_place: str | None, text: str) -> tuple[Ledger, Ref]:
    ledger = Ledger.open(ledger_place)
    screen.migration = ledger.migration(text).id
    return ledger, Ref(ledger.url, screen.migration)
