"""Blue-green: fill and prove the new store beside the old one, ask, then switch the route in one transaction."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.migration import SETTINGS, RunLedger, advised, name_of, run_migration, start
from vecferry.config import Approve, CutoverSteps, OnCheckFailed, Reverse
from vecferry.model import Metric
from vecferry.strategies.runner import Ref

__all__ = ["blue_green"]


@flow(name="blue-green", flow_run_name=name_of("move"), **SETTINGS)
@advised
def blue_green(
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
    max_final_delta: int = 10_000,
    on_check_failed: OnCheckFailed = "hold",
    cutover: CutoverSteps = "one-step",
    reads_alias: str | None = None,
    application_maps_ids: bool = False,
    no_read_modify_write: bool = False,
    min_watch_s: float = 0.0,
    reverse: Reverse | None = None,
    limit: int | None = None,
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
    """Move a collection: inventory, plan, backup, copy through Parquet, validate every record, approve, switch, check.

    The old store is never written, and `rollback` goes back to it. Give source and target, or a migration to resume.

    Args:
        source: URL of the collection to move, for example qdrant://host:6334/docs or numpy:///data/vectors.npy.
        target: URL of the collection to create, for example qdrant+edge:///data/edge/docs. It must not exist.
        archive: Folder for the Parquet archive; below VECFERRY_HOME when empty.
        route: Logical name that applications ask for; the source collection's name when empty.
        metric: Metric of the target, where the source does not record one.
        document_field: Payload field that holds the document in stores that have no documents.
        consent: Names of the losses in the plan that are agreed to.
        profile: Rule set that the target is held to, such as chroma-cloud or zilliz-qdrant-varchar.
        approve: "ask" pauses before the switch until a person answers; "auto" switches after a verdict of "same".
        approve_timeout_s: How long to wait for that answer, in seconds.
        max_final_delta: The most records that may be carried over while writes are paused.
        on_check_failed: If the new store fails its check before writes are released, "hold" waits for a person with
            writes paused, "rollback" goes back.
        cutover: "one-step" switches reads and writes together; "two-step" reads first, and writes after a second
            question. For the latter declare what the application does, by the next three.
        reads_alias: The engine's alias that the application reads by; it writes by the one named like the route.
        application_maps_ids: The application knows the ids of both stores, where they are not the same.
        no_read_modify_write: The application never writes back what it has read.
        min_watch_s: In two steps, how long the reads are watched at least before the writes switch, in seconds.
        reverse: After the switch, "follow" lets each sync carry to the old store what the new one received, "hold"
            writes nothing to it. Empty: follow, where the old store takes writes.
        limit: Move only the first records, as a trial that is never switched.
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
        return run_migration(Ref(ledger.url, ledger.migration(migration_id).id))
    return run_migration(start(ledger, form, "blue-green"))
