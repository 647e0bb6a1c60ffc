"""Looking without moving: inventory, plan, comparison of two stores, state of a migration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from vecferry import address, sealing
from vecferry import batch as columns
from vecferry.config import MigrationConfig
from vecferry.contract import Reader, Source, Target
from vecferry.errors import NotFound
from vecferry.idtable import IdTable
from vecferry.ledger import Answer, AuditEntry, Ledger, Migration, Route, SliceRow, State
from vecferry.mapping import Mapping
from vecferry.mapping import decide as decide_mapping
from vecferry.model import ALL_PARTS, IDS_ONLY, JsonObject, Verdict
from vecferry.operations.migrations import asks_in
from vecferry.routing import states
from vecferry.stores import registry
from vecferry.strategies.scope import encoding_of
from vecferry.strategies.steps.ending import DECOMMISSIONED_FACT, DISCARDED_FACT
from vecferry.strategies.work import SWITCHING
from vecferry.transfer import pace, progress, retry
from vecferry.transfer.inventory import Inventory, rules_of, take_inventory
from vecferry.transfer.originals import in_original_terms
from vecferry.transfer.read import read_slice
from vecferry.transfer.ruled import under_rules
from vecferry.validation.compare import Comparison, compare_rows
from vecferry.validation.ids import compare_counts, compare_ids
from vecferry.validation.report import judge
from vecferry.validation.schema import compare_schema

__all__ = ["NAME", "Preview", "Status", "counted", "mapping_between", "preview", "status", "verify"]

NAME = "look"
"""Name under which these verbs count their progress."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a migration would do. `encoding`: how the source is encoded, where an earlier migration made it."""

    inventory: Inventory
    mapping: Mapping
    target_exists: bool
    encoding: Mapping | None


def preview(config: MigrationConfig) -> Preview:
    """Inventory and decisions, without a ledger entry and without moving anything."""
    with (
        in_original_terms(registry.open_source(config.source.address())) as source,
        registry.open_target(config.target.address()) as target,
    ):
        found = take_inventory(source, config, partial(progress.begin, NAME, "inventory"), counted("inventory", config))
        mapping = mapping_between(found, source, target, config)
        return Preview(found, mapping, target.exists(), encoding_of(source))


def mapping_between(found: Inventory, source: Source, target: Target, config: MigrationConfig) -> Mapping:
    """What a migration of an inventory's records to a target would do. Writes nothing."""
    both = source.capabilities(), under_rules(target, config).capabilities()
    obstacles = target.obstacles(found.schema.features)
    return decide_mapping(found.schema, found.profile, *both, rules_of(config), obstacles)


def verify(config: MigrationConfig) -> Verdict:
    """Compare every record of two stores, as a migration between them would map it. Writes nothing.

    Where the target bears the mark of a migration, its mapping is taken; else the plan that would be made now.
    """
    found = preview(config)
    if not found.target_exists:
        raise NotFound(f"{config.target.public()} does not exist")
    with (
        in_original_terms(registry.open_source(config.source.address())) as source,
        registry.open_target(config.target.address(), Reader.PUBLIC) as target,
    ):
        mark = target.describe().mark
        mapping = Mapping.from_json(mark["mapping"]) if mark and "mapping" in mark else found.mapping
        progress.begin(NAME, "verify", found.inventory.profile.rows)
        moved = counted("verify", config)
        rows, ids = Comparison(), []
        for part in found.inventory.slices:
            for batch in read_slice(source, part, ALL_PARTS, config.batch_rows):
                expected = mapping.expected(batch)
                wanted = columns.ids_of(expected)
                actual = retry.call(config.retry_budget_s, partial(target.fetch, wanted))
                rows += compare_rows(expected, actual, mapping.target_schema.vectors, mapping.tolerances)
                ids.append(sealing.hash_ids(wanted))
                moved(batch.num_rows)
        # Settings may be tuned after a migration: records are compared here, and what holds them.
        schema = compare_schema(replace(mapping.target_schema, features=()), target.describe(), rows=rows.rows)
        counts = compare_counts(rows.rows, target.count())
        id_batches = (batch for part in target.slices(1) for batch in target.read(part, IDS_ONLY, 5000))
        extra, examples = compare_ids(IdTable(ids), id_batches, missing=rows.missing)
        return judge(schema, counts, examples, extra, rows, found.inventory.profile.rows - rows.rows)


def counted(phase: str, config: MigrationConfig) -> Callable[[int], None]:
    """Counts rows as they pass, and waits where they pass too fast."""
    paced = pace.Pace(config.max_rows_per_s)

    def moved(rows: int) -> None:
        paced.take(rows)
        progress.advance(NAME, phase, rows)

    return moved


@dataclass(frozen=True, slots=True)
class Status:
    """A migration as it stands: recorded state, what is done, the route, and the sensible next commands."""

    migration: Migration
    slices: tuple[SliceRow, ...]
    route: Route | None
    verdict: JsonObject | None
    next_commands: tuple[str, ...]
    audit: tuple[AuditEntry, ...]


def status(ledger: Ledger, migration_id: str) -> Status:
    """What the ledger knows of a migration."""
    migration = ledger.migration(migration_id)
    return Status(
        migration,
        tuple(ledger.slices(migration.id)),
        ledger.route(migration.route, migration.workspace) if _switches(migration) else None,
        ledger.fact(migration.id, "verdict"),
        _next_commands(ledger, migration),
        tuple(ledger.audit(migration.id)),
    )


def _switches(migration: Migration) -> bool:
    return migration.strategy in SWITCHING and migration.limit is None


def _next_commands(ledger: Ledger, migration: Migration) -> tuple[str, ...]:
    """Those of the state, less what makes no sense for this migration: a switch of a trial, a second yes."""
    unwanted = set()
    if migration.state in (State.READY, State.READS_NEW):
        question = ledger.approval(migration.id)
        if not _switches(migration):
            unwanted = {"approve", "resume", "sync"} | (
                {"abort"} if migration.strategy in ("export", "backup") else set()
            )
        elif question is not None and question.answer is Answer.APPROVED:
            unwanted = {"approve"}
    elif migration.planned_at is None or ledger.fact(migration.id, DISCARDED_FACT) is not None:
        unwanted = {"discard"}
    elif _old_stays(ledger, migration):
        unwanted = {"decommission"}
    workspaces = [one.state for one in ledger.workspaces(migration.id)]
    found = states.next_commands(migration.state, migration.id, workspaces)
    if migration.state is not State.READY and _asks_before_copy(ledger, migration):
        found = (f"vecferry approve {migration.id}", *found)
    if _copies_under_pause(ledger, migration):
        first = tuple(f"vecferry {verb} {migration.id}" for verb in ("resume", "unpause"))
        found = (*first, *(one for one in found if one not in first and " approve " not in one))
    if migration.parent is not None:
        unwanted |= {"abort", "complete", "decommission", "discard"}
        found = tuple(one.replace(f"resume {migration.id}", f"resume {migration.parent}") for one in found)
    wanted = [command for command in found if command.split()[1] not in unwanted]
    if workspaces:
        wanted.append(f"vecferry workspaces {migration.id}")
    return tuple(f"{one} --collection NAME" if one.split()[1] == "decommission" else one for one in wanted)


def _copies_under_pause(ledger: Ledger, migration: Migration) -> bool:
    """Whether writes are paused, or were never released, in a state of the copy."""
    if migration.strategy != "snapshot-restore" or migration.state not in asks_in(migration.strategy):
        return False
    return any(one.released_at is None for one in ledger.pauses(migration.id))


def _asks_before_copy(ledger: Ledger, migration: Migration) -> bool:
    """Whether a question is open that is asked before anything is copied, or about workspaces."""
    if migration.strategy not in ("snapshot-restore", "rolling") or migration.state not in asks_in(migration.strategy):
        return False
    question = ledger.approval(migration.id)
    return question is not None and question.answer is None


def _old_stays(ledger: Ledger, migration: Migration) -> bool:
    """Whether there is no old store to drop (any more): files are never deleted."""
    scheme = address.parse(migration.source_url).scheme
    keeps = registry.holds_files(scheme) or registry.entry(scheme).only_read
    return keeps or ledger.fact(migration.id, DECOMMISSIONED_FACT) is not None
