"""Many collections of one store: each in a flow run of its own, all that needs nobody before the first question."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow, get_run_logger

from flows.artifacts import show_table
from flows.migration import SETTINGS, advised, name_of, run_migration, store
from flows.runner import PrefectRunner
from vecferry.config import Approve, make_config, make_selection
from vecferry.errors import Stopped, VecferryError
from vecferry.ledger import Ledger
from vecferry.model import Metric
from vecferry.operations import many as groups
from vecferry.operations.many import Opened, Request
from vecferry.operations.member_sheet import members_sheet
from vecferry.operations.members import Member, Outcome
from vecferry.strategies.runner import ApprovalForm, Ref

__all__ = ["collection", "many"]


class _Unasked(Stopped):
    """The migration waits for its approval; this run asks nobody."""


class _SilentRunner(PrefectRunner):
    """Runs everything but the question."""

    def approve(self, form: ApprovalForm, timeout_s: float) -> bool:
        """Leave the question open, where `vecferry approve` and a later run find it."""
        raise _Unasked(f"migration {form.migration} waits for an approval")


@flow(name="collection", flow_run_name="move {migration_id}", **SETTINGS)
@advised
def collection(migration_id: str, ask: bool = True) -> dict[str, Any]:
    """Move one collection of a group.

    Args:
        migration_id: The member's migration.
        ask: Pause for an approval before the switch; otherwise the question is left open.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    try:
        return run_migration(ref, PrefectRunner(ledger.url) if ask else _SilentRunner(ledger.url))
    except _Unasked:
        return {"migration": ref.migration, "state": ledger.migration(ref.migration).state.value}


@flow(name="many", flow_run_name=name_of("move all of"), **SETTINGS)
@advised
def many(
    source: str | None = None,
    target: str | None = None,
    collections: tuple[str, ...] = ("*",),
    exclude: tuple[str, ...] = (),
    target_name: str = "{name}",
    route: str | None = None,
    metric: Metric | None = None,
    document_field: str = "text",
    consent: tuple[str, ...] = (),
    approve: Approve = "ask",
    approve_timeout_s: float = 24 * 3600.0,
    workers: int = 2,
    source_key_env: str | None = None,
    target_key_env: str | None = None,
    source_block: str | None = None,
    target_block: str | None = None,
    trust_local_files: bool = False,
    group_id: str | None = None,
) -> dict[str, Any]:
    """Move many collections of a store, each with its own plan, verdict and approval; one that fails stops no other.

    Run again with the same stores, it goes on with what is not done. Give source and target, or a group to resume.

    Args:
        source: URL of the store, without a collection, for example chroma://host:8000?tenant=acme.
        target: URL of the store that the collections go to, without a collection.
        collections: Patterns of the names that are meant, for example docs*.
        exclude: Patterns of the names that are left out.
        target_name: Name of each new collection, of {name}, {tenant} and {database}.
        route: Logical name of each, of the same places; the source collection's name when empty.
        metric: Metric of the target, where the source does not record one.
        document_field: Payload field that holds the document in stores that have no documents.
        consent: Names of the losses in the plans that are agreed to.
        approve: "ask" pauses before each switch, once all are moved; "auto" switches after a verdict of "same".
        approve_timeout_s: How long to wait for each answer, in seconds.
        workers: Slices at a time.
        source_key_env: Name of the worker's environment variable that holds the source's API key.
        target_key_env: Name of the worker's environment variable that holds the target's API key.
        source_block: Name of a block with the source's URL and secrets.
        target_block: The same for the target.
        trust_local_files: Open the source's files although they could run a program (pickles of qdrant+path).
        group_id: Resume this group; all other fields are then ignored.
    """
    ledger = Ledger.open()
    if group_id is not None:
        return _run(ledger, groups.reopen(ledger, group_id))
    given = {
        "source": store(source, source_key_env, source_block),
        "target": store(target, target_key_env, target_block),
        "route": route,
        "metric": metric,
        "document_field": document_field,
        "consent": consent,
        "approve": approve,
        "approve_timeout_s": approve_timeout_s,
        "workers": workers,
        "trust_local_files": trust_local_files,
    }
    config = make_config({name: value for name, value in given.items() if value is not None}, where="the parameters")
    selection = make_selection({"collections": collections, "exclude": exclude, "target_name": target_name})
    return _run(ledger, groups.open_group(ledger, Request(config, selection, "blue-green")))


def _run(ledger: Ledger, opened: Opened) -> dict[str, Any]:
    for note in opened.notes:
        get_run_logger().info(note)
    groups.run(ledger, opened, partial(_move, ask=False), told=_tell)
    waiting = tuple(one.migration.id for one in groups.members_of(ledger, opened) if one.outcome is Outcome.WAITING)
    groups.run(ledger, replace(opened, members=waiting), partial(_move, ask=True), told=_tell)
    members = groups.members_of(ledger, opened)
    counted = groups.count(ledger, opened, members)
    show_table(members_sheet(opened.group, members))
    error = groups.shortfall(members, counted, opened.group)
    if error is not None:
        raise error
    return {"group": opened.group.id, "found": counted.found, "verified": counted.verified, "failed": counted.failed}


def _move(ref: Ref, *, ask: bool) -> VecferryError | None:
    """Run a member's own flow; how it failed, if it did."""
    state = collection(ref.migration, ask, return_state=True)
    if state.is_completed():
        return None
    found = state.result(raise_on_failure=False)
    if isinstance(found, VecferryError):
        return found
    kind = VecferryError if state.is_failed() else Stopped
    return kind(state.message or f"the flow run ended {state.name}")


def _tell(member: Member) -> None:
    get_run_logger().info("%s: %s", member.label, member.outcome)
