"""The options, in groups that commands share. `None` means: not given, the migration file or the default decides."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from vecferry.cli import completion
from vecferry.model import Metric

__all__ = [
    "CONFIG",
    "MIGRATION",
    "SOURCE",
    "TARGET",
    "Choices",
    "Common",
    "Cutover",
    "Destination",
    "DryRun",
    "LedgerPlace",
    "Many",
    "Naming",
    "Reading",
    "Rolling",
    "Settling",
    "SourceSecrets",
    "StoreSecrets",
    "Stores",
    "TargetSecrets",
    "Trial",
    "given",
]

SOURCE = typer.Argument(
    metavar="URL", help="The collection, for example numpy:///data/vectors.npy", autocompletion=completion.urls
)
TARGET = typer.Argument(
    metavar="URL", help="The collection or file to create; it must not exist", autocompletion=completion.urls
)
MIGRATION = typer.Argument(
    metavar="ID", help="A migration's id, or the start of it", autocompletion=completion.migrations
)


CONFIG = typer.Option(metavar="FILE", help="A migration file (YAML); options go before what it says.")
_TRUST = typer.Option(
    "--trust-local-files", help="Open the source's files although they could run a program (qdrant+path: pickles)."
)
_TARGET = typer.Option(
    metavar="URL", help="The new store's collection; it must not exist.", autocompletion=completion.urls
)


@dataclass(frozen=True, slots=True)
class Common:
    """What every command takes."""

    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """Which ledger."""

    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="The ledger (default: VECFERRY_LEDGER, else ~/.vecferry/ledger.db).",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Stores:
    """Source, target, and the file that may name them."""

    source: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The old store's collection.", autocompletion=completion.urls),
    ] = None
    target: Annotated[str | None, _TARGET] = None
    config: Annotated[Path | None, CONFIG] = None


@dataclass(frozen=True, slots=True)
class Many:
    """Which collections of a store; the URLs are then the stores' own, without a collection."""

    all_collections: Annotated[
        bool, typer.Option("--all", help="Every collection of the source; the URLs name stores, not collections.")
    ] = False
    collections: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="The collections whose names match, as in 'docs*'. May be repeated."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="But not those whose names match this. May be repeated."),
    ] = None


@dataclass(frozen=True, slots=True)
class Naming:
    """What many collections are called in the target."""

    target_name: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE", help="Name of each new collection, of {name}, {tenant}, {database} (default: {name})."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a collection would go, where nothing moves."""

    target: Annotated[str | None, _TARGET] = None


@dataclass(frozen=True, slots=True)
class SourceSecrets:
    """What opens the source: secrets by the names of environment variables, and trust."""

    source_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the source's API key.")
    ] = None
    source_token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the source's bearer token.")
    ] = None
    source_basic_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the source's user:password.")
    ] = None
    trust_local_files: Annotated[bool, _TRUST] = False


@dataclass(frozen=True, slots=True)
class StoreSecrets:
    """What opens the stores of a command that knows neither source nor target."""

    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the API key of these stores.")
    ] = None
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the bearer token of these stores.")
    ] = None
    basic_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with user:password of these stores.")
    ] = None
    trust_local_files: Annotated[bool, _TRUST] = False


@dataclass(frozen=True, slots=True)
class TargetSecrets:
    """What opens the target, by the names of environment variables."""

    target_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the target's API key.")
    ] = None
    target_token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the target's bearer token.")
    ] = None
    target_basic_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the target's user:password.")
    ] = None


@dataclass(frozen=True, slots=True)
class Choices:
    """Wishes for the mapping."""

    document_field: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Payload key that holds a document, on either side (default: text)."),
    ] = None
    id_field: Annotated[
        str | None, typer.Option(metavar="KEY", help="Payload key for original ids that the target cannot hold.")
    ] = None
    side_field: Annotated[
        str | None, typer.Option(metavar="KEY", help="Payload key for values that the target cannot hold.")
    ] = None
    metric: Annotated[
        Metric | None, typer.Option(help="The metric, where the source does not say, or another one for the target.")
    ] = None
    consent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Agree to one loss, by its name in the plan. May be repeated."),
    ] = None
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Hold the target to a rule set, such as chroma-cloud; none turns off that of its host.",
            autocompletion=completion.profiles,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Trial:
    """Not all of it."""

    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the first N records: a trial, never switched.")
    ] = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How much at once, how fast, how long."""

    slice_rows: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Records in a slice, the unit of resuming (default: 100000).")
    ] = None
    batch_rows: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Records in memory at once, for each worker (default: 1000).")
    ] = None
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Slices at a time (default: 2).")] = None
    max_rows_per_s: Annotated[
        float | None, typer.Option(metavar="R", help="Read no faster than this, to spare a production source.")
    ] = None
    retry_budget_s: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="Try a failing call again for so many seconds (default: 120)."),
    ] = None


@dataclass(frozen=True, slots=True)
class Cutover:
    """What is kept, and how the route switches."""

    archive: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the Parquet archive goes (default: ~/.vecferry/archives/ID)."),
    ] = None
    route: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name that applications ask for (default: the source collection's)."),
    ] = None
    no_backup: Annotated[
        bool, typer.Option("--no-backup", help="Do not copy a source made of files before the start.")
    ] = False
    approve: Annotated[
        str | None,
        typer.Option(metavar="ask|auto", help="Who says yes to the switch: a person, or this option (default: ask)."),
    ] = None
    approve_timeout_s: Annotated[
        float | None, typer.Option(metavar="S", help="Wait so long for the answer (default: 86400).")
    ] = None
    max_final_delta: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Carry over at most N records under the pause (default: 10000)."),
    ] = None
    on_check_failed: Annotated[
        str | None,
        typer.Option(
            metavar="hold|rollback",
            help="If the new store fails its check before writes are released: wait for a person, or go back "
            "(default: hold).",
        ),
    ] = None
    cutover: Annotated[
        str | None,
        typer.Option(
            metavar="one-step|two-step",
            help="Switch reads and writes together, or reads first and writes after a second yes (default: one-step).",
        ),
    ] = None
    reads_alias: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Two steps: the engine's alias that is read by; the route's own is written."),
    ] = None
    application_maps_ids: Annotated[
        bool, typer.Option("--application-maps-ids", help="Two steps: the application knows the ids of both stores.")
    ] = False
    no_read_modify_write: Annotated[
        bool, typer.Option("--no-read-modify-write", help="Two steps: the application never writes back what it read.")
    ] = False
    min_watch_s: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="Two steps: writes switch so long after reads at least (default: 0)."),
    ] = None
    reverse: Annotated[
        str | None,
        typer.Option(
            metavar="follow|hold",
            help="After the switch each sync carries to the old store what the new one received, or nothing is written "
            "to it (default: follow, where it takes writes).",
        ),
    ] = None
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="blue-green copies, then pauses shortly; rolling does so workspace by workspace; snapshot-restore "
            "pauses, then copies (default: blue-green).",
        ),
    ] = None
    pause_limit_s: Annotated[
        float | None,
        typer.Option(metavar="S", help="A snapshot-restore gives up when writes were paused so long (default: 14400)."),
    ] = None
    snapshot_folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A snapshot-restore copies this folder of the Chroma server that it moves."),
    ] = None


@dataclass(frozen=True, slots=True)
class Rolling:
    """How a collection is divided where it moves workspace by workspace."""

    by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Rolling: the payload field with the workspace (default: workspace_id)."),
    ] = None
    ranges: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD=BORDERS",
            help="Rolling: half-open ranges of a field instead, in UTC, as in created_at=2024-01,2024-07,2025-01.",
        ),
    ] = None
    first: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Move this workspace before the others. May be repeated."),
    ] = None
    wave: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rolling: fill so many workspaces in one go (default: 10).")
    ] = None
    approve_by: Annotated[
        str | None,
        typer.Option(
            metavar="each|wave|once", help="Rolling: a question for each workspace, each wave, or one (default: wave)."
        ),
    ] = None
    moved: Annotated[
        str | None,
        typer.Option(
            metavar="hold|follow",
            help="Rolling: records that changed their workspace across the two stores are listed, or carried along "
            "(default: hold).",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Settling:
    """What a way back does with records on which the two stores do not agree."""

    prefer: Annotated[str | None, typer.Option(metavar="SIDE", help="Let one side win every conflict: old or new.")] = (
        None
    )
    conflicts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Decide each conflict in this file; written when it is not there."),
    ] = None
    allow_deletes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Let so many deletes through: those that a brake held and showed."),
    ] = None
    allow_changes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Let so many changed records through: those that a brake held and showed."
        ),
    ] = None


DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]


def given(*groups: Any) -> dict[str, Any]:
    """The options of these groups that were given, by name. A flag that is off was not."""
    found = {field.name: getattr(group, field.name) for group in groups for field in fields(group)}
    return {name: value for name, value in found.items() if value not in (None, False, [], ())}
