"""Snapshot-restore: pause the writes, copy the exact state, prove it, switch; and its way back, by route and merge."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.migration import SETTINGS, RunLedger, advised, name_of, run_migration, start
from flows.rollback import Prefer, roll_back, settled
from vecferry.config import Approve, OnCheckFailed
from vecferry.errors import BadOption
from vecferry.ledger import Ledger
from vecferry.model import Metric
from vecferry.strategies.runner import Ref

__all__ = ["rollback_snapshot_restore", "snapshot_restore"]

STRATEGY = "snapshot-restore"


@flow(name="snapshot-restore", flow_run_name=name_of("move"), **SETTINGS)
@advised
def snapshot_restore(
    source: str | None = None,
    target: str | None = None,
    archive: str | None = None,
    route: str | None = None,
    metric: Metric | None = None,
    document_field: str = "text",
    consent: tuple[str, ...] = (),
    profile: str | None = None,
    approve: Approve = "ask",
    approve_timeout_s: float = 24 * 3600.0,
    pause_limit_s: float = 4 * 3600.0,
    snapshot_folder: str | None = None,
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
    """Pause the writes of an application, copy the exact state of its collection, prove it, and switch.

    Writes pause from before the copy until after the switch; the run asks first, and says for about how long. What is
    written to the old store later is listed, not moved. `rollback-snapshot-restore` goes back. Give source and target,
    or a migration to resume.

    Args:
        source: URL of the collection to move, for example qdrant://host:6334/docs or numpy:///data/vectors.npy.
        target: URL of the collection to create, for example qdrant+edge:///data/edge/docs. It must not exist.
        archive: Folder for the Parquet archive; below VECFERRY_HOME when empty.
        route: Logical name that applications ask for; the source collection's name when empty.
        metric: Metric of the target, where the source does not record one.
        document_field: Payload field that holds the document in stores that have no documents.
        consent: Names of the losses in the plan that are agreed to.
        profile: Rule set that the target is held to, such as chroma-cloud or zilliz-qdrant-varchar.
        approve: "ask" pauses the run before anything is copied until a person answers; "auto" begins at once.
        approve_timeout_s: How long to wait for that answer, in seconds.
        pause_limit_s: Give up, and let writes go on in the old store, when they were paused so long without a switch.
        snapshot_folder: Folder of the Chroma server's data, where the worker sees it: copied, and read from the copy.
        on_check_failed: If the new store fails its check before writes are released, "hold" waits for a person with
            writes paused, "rollback" goes back.
        workers: Slices at a time.
        slice_rows: Records of one slice; each slice is one task run.
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
    return run_migration(start(ledger, form, STRATEGY))


@flow(name="rollback-snapshot-restore", flow_run_name="roll back {migration_id}", **SETTINGS)
@advised
def rollback_snapshot_restore(
    migration_id: str, prefer: Prefer = "", conflicts: str = "", allow_deletes: int = 0, allow_changes: int = 0
) -> dict[str, Any]:
    """Write what the new store received to the old one, and send the route back. Drops nothing.

    The snapshot is never put back over the old store: both are merged record by record, so that what either received
    since stays. Starting it is the approval. Records that both changed stop it, unless one side is preferred.

    Args:
        migration_id: The migration to take back, as the snapshot-restore run named it.
        prefer: Which side wins where both changed a record; empty: stop, and list them.
        conflicts: File on the worker that decides each such record; the first run that finds any writes it.
        allow_deletes: Let so many deletes through that a brake held and showed; 0: none.
        allow_changes: Let so many changed records through that a brake held and showed; 0: none.
    """
    said = settled(prefer, conflicts, allow_deletes, allow_changes)
    return roll_back(_mine(Ledger.open(), migration_id), said)


def _mine(ledger: Ledger, migration_id: str) -> str:
    """The whole id of a migration of this strategy. Raises BadOption for one of another."""
    migration = ledger.migration(migration_id)
    if migration.strategy != STRATEGY:
        raise BadOption(
            f"migration {migration.id} is of the strategy {migration.strategy}",
            advice=f"vecferry status {migration.id} shows what can be done with it",
        )
    return migration.id
