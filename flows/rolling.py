"""Rolling: a collection moves workspace by workspace, each proven and switched on its own; and its way back."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.migration import SETTINGS, RunLedger, advised, end_of, name_of, run_migration, show_end, start
from flows.rollback import Prefer, settled
from flows.runner import PrefectRunner
from vecferry.config import Approve, ApproveBy, Moved, OnCheckFailed, Rolling
from vecferry.errors import BadOption
from vecferry.ledger import Ledger
from vecferry.model import Metric
from vecferry.operations import workspaces
from vecferry.strategies.runner import Ref

__all__ = ["rollback_workspaces", "rolling"]

STRATEGY = "rolling"


@flow(name="rolling", flow_run_name=name_of("move"), **SETTINGS)
@advised
def rolling(
    source: str | None = None,
    target: str | None = None,
    by: str = "workspace_id",
    ranges: tuple[str, ...] = (),
    first: tuple[str, ...] = (),
    wave: int = 10,
    approve_by: ApproveBy = "wave",
    moved: Moved = "hold",
    archive: str | None = None,
    route: str | None = None,
    metric: Metric | None = None,
    document_field: str = "text",
    consent: tuple[str, ...] = (),
    profile: str | None = None,
    approve: Approve = "ask",
    approve_timeout_s: float = 24 * 3600.0,
    max_final_delta: int = 10_000,
    on_check_failed: OnCheckFailed = "hold",
    workers: int = 2,
    slice_rows: int = 100_000,
    max_rows_per_s: float | None = None,
    source_key_env: str | None = None,
    target_key_env: str | None = None,
    source_block: str | None = None,
    target_block: str | None = None,
    trust_local_files: bool = False,
    migration_id: str | None = None,
) -> dict[str, Any]:
    """Move a collection workspace by workspace: groups of records by a payload field, or by ranges of a date.

    Each is copied, validated, approved and switched on its own; one that fails stops no other. `rollback-workspaces`
    takes back those that are named. Give source and target, or a migration to resume.

    Args:
        source: URL of the collection to move, for example chroma://host:8000/docs.
        target: URL of the collection to create, for example qdrant://host:6334/docs. It must not exist.
        by: Payload field that says to which workspace a record belongs.
        ranges: Borders of half-open ranges of that field instead of its values, in UTC, for example 2024-01, 2024-07.
        first: Workspaces that move first, in this order; the others follow from the smallest up.
        wave: How many workspaces are filled in one task.
        approve_by: One question for each workspace, for each wave, or one for all.
        moved: What becomes of records that changed their workspace across the two stores, "hold" lists them, "follow"
            carries them along.
        archive: Folder for the Parquet archives; below VECFERRY_HOME when empty.
        route: Logical name that applications ask for; the source collection's name when empty.
        metric: Metric of the target, where the source does not record one.
        document_field: Payload field that holds the document in stores that have no documents.
        consent: Names of the losses in the plan that are agreed to.
        profile: Rule set that the target is held to, such as chroma-cloud or zilliz-qdrant-varchar.
        approve: "ask" pauses before switches until a person answers; "auto" switches after a verdict of "same".
        approve_timeout_s: How long to wait for that answer, in seconds.
        max_final_delta: The most records of one workspace that may be carried over while its writes are paused.
        on_check_failed: If the new store fails its check before writes are released, "hold" waits for a person with
            writes paused, "rollback" goes back with that workspace.
        workers: Slices at a time.
        slice_rows: Records of one slice.
        max_rows_per_s: Brake that spares a production source, in records a second.
        source_key_env: Name of the worker's environment variable that holds the source's API key.
        target_key_env: Name of the worker's environment variable that holds the target's API key.
        source_block: Name of a block with the source's URL and secrets; `source` may then name a collection in it.
        target_block: The same for the target.
        trust_local_files: Open the source's files although they could run a program (pickles of qdrant+path).
        migration_id: Resume this migration; all other fields are then ignored, its plan holds.
    """
    form, ledger = dict(locals()), RunLedger.open()
    if migration_id is not None:
        return run_migration(Ref(ledger.url, _mine(ledger, migration_id)))
    divided = {name: form.pop(name) for name in Rolling.model_fields}
    return run_migration(start(ledger, form | {"rolling": divided}, STRATEGY))


@flow(name="rollback-workspaces", flow_run_name="roll back workspaces of {migration_id}", **SETTINGS)
@advised
def rollback_workspaces(
    migration_id: str,
    names: tuple[str, ...] = (),
    prefer: Prefer = "",
    allow_deletes: int = 0,
    allow_changes: int = 0,
) -> dict[str, Any]:
    """Write what the new store received of these workspaces to the old one, and send their routes back. Drops nothing.

    The others stay where they are. Starting it is the approval. Records that both stores changed stop a workspace,
    unless one side is preferred.

    Args:
        migration_id: The rolling migration, as its run named it.
        names: The workspaces to take back, each a JSON value or plain text; empty for all that the new store serves.
        prefer: Which side wins where both changed a record; empty to stop, and list them.
        allow_deletes: Let so many deletes through that a brake held and showed; 0 for none.
        allow_changes: Let so many changed records through that a brake held and showed; 0 for none.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, _mine(ledger, migration_id))
    said = settled(prefer, "", allow_deletes, allow_changes)
    try:
        done = workspaces.roll_back(PrefectRunner(ledger.url), ref, names, said)
    finally:
        show_end(ledger, ref)
    return end_of(ledger, ref) | {"rolled_back": [one.key for one in done if not one.error]}


def _mine(ledger: Ledger, migration_id: str) -> str:
    """The whole id of a migration of this strategy. Raises BadOption for one of another."""
    migration = ledger.migration(migration_id)
    if not workspaces.is_rolling(migration):
        raise BadOption(
            f"migration {migration.id} does not move workspace by workspace",
            advice=f"vecferry status {migration.id} shows what can be done with it",
        )
    return migration.id
