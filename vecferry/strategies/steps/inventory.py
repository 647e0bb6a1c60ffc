"""Phase 1: what the source is, and what will happen to each of its features."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from vecferry import failpoints, plain
from vecferry.archive import Archive, as_store
from vecferry.capabilities import Capabilities
from vecferry.config import MigrationConfig
from vecferry.errors import DataError, LossRefused, PlanRefused, TargetNotEmpty
from vecferry.mapping import Mapping, Profile
from vecferry.mapping import decide as decide_mapping
from vecferry.model import CollectionSchema
from vecferry.routing import two_steps
from vecferry.routing.aliases import AliasPlan
from vecferry.strategies import reversing
from vecferry.strategies.runner import Ref
from vecferry.strategies.scope import encoding_of
from vecferry.strategies.shared_copy import copied_by_another
from vecferry.strategies.steps.workspaces import divided, enter_workspaces
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, pace, progress, retry, space
from vecferry.transfer.inventory import Inventory, rules_of, take_inventory
from vecferry.transfer.plan import Plan

__all__ = ["decide", "inventory", "refuse", "refuse_cutover"]


def inventory(ref: Ref) -> None:
    """Read every record's id, payload and document once: what the plan must know before the first row moves."""
    work = open_work(ref)
    name = ref.migration

    def take() -> dict[str, object]:
        begin = partial(progress.begin, name, "inventory")
        paced = pace.pace_of(name, work.config.max_rows_per_s)

        def moved(rows: int) -> None:
            paced.take(rows)
            progress.advance(name, "inventory", rows)

        found: dict[str, object] = plain.to_plain(take_inventory(work.source(), work.config, begin, moved))
        return found

    work.once("inventory", take)


def decide(ref: Ref) -> None:
    """Make the plan and store it, slices or workspaces included. Raises LossRefused where anything is lost unasked.

    What is refused leaves nothing behind: the route, the target and the archive's folder are free for another one.
    """
    work = open_work(ref)
    if work.migration.planned_at is not None:
        return
    found = plain.from_plain(Inventory, work.fact("inventory"))
    capabilities = work.source().capabilities(), _target_capabilities(work, found.schema)
    obstacles = work.target().obstacles(found.schema.features) if work.loads else {}
    mapping = decide_mapping(found.schema, found.profile, *capabilities, rules_of(work.config), obstacles)
    refuse(mapping, found.profile)
    if work.switches:
        same_ids = two_steps.keeps_ids(mapping, encoding_of(work.source()))
        refuse_cutover(work.config, work.alias_plan(), same_ids=same_ids)
    if work.loads:
        refuse_strangers(work)
    is_divided = work.migration.strategy == "rolling"  # then each workspace has its own slices
    workspaces = divided(work, mapping, found.profile.rows) if is_divided else []
    plan = Plan(found.schema, mapping, found.profile.rows, found.fingerprint, found.slices)
    space.require(plan, found.profile, work.archive_folder, work.config.target.public(), _copied_bytes(work))
    if work.switches:
        work.route()
    work.once("identity", lambda: {"source": retry.call(work.config.retry_budget_s, work.source().identity)})
    Archive.create(work.archive_folder, found.schema.name, plan.to_json())
    work.ledger.store_plan(ref.migration, plan.to_json(), () if is_divided else found.slices, ref.token)
    if is_divided:
        failpoints.reached("rolling.plan_stored")
        enter_workspaces(work, workspaces)


def _copied_bytes(work: Work) -> int:
    """What the backup of a source made of files will need; an export copies none."""
    if not (work.config.backup and work.loads):
        return 0
    files = handles.source(work.config.source.address()).files()
    return 0 if copied_by_another(work, files) else sum(item.file.stat().st_size for item in files)


def _target_capabilities(work: Work, schema: CollectionSchema) -> Capabilities:
    if work.loads:
        return work.target().capabilities()
    # An archive keeps a metric where the source says one, and needs none.
    return replace(as_store.CAPABILITIES, stores_metric=all(field.metric for field in schema.vectors))


def refuse(mapping: Mapping, profile: Profile) -> None:
    """Raise unless every decision is exact, encoded, or a loss that was agreed to."""
    if profile.duplicate_ids:
        names = ", ".join(profile.duplicate_examples)
        raise DataError(
            f"{profile.duplicate_ids:,} ids stand more than once in the source, for example {names}",
            advice="make the ids unique; a store would keep only one record of each",
        )
    refused = mapping.refusals()
    if refused:
        first = refused[0]
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        advice = first.advice or (f"agree to it with --consent {first.consent}" if first.consent else "")
        raise LossRefused(f"{first.feature}: {first.detail}{more}", advice=advice)


def refuse_cutover(config: MigrationConfig, alias: AliasPlan, *, same_ids: bool) -> None:
    """Raise PlanRefused for a cutover in two steps that cannot be, or an old store that cannot follow the new one.

    `same_ids`: an application finds a record in both stores under one id.
    """
    reason = two_steps.reason_against(config, alias, same_ids=same_ids) if config.cutover == "two-step" else ""
    if reason:
        raise PlanRefused(f"no cutover in two steps: {reason}", advice="or leave --cutover two-step out")
    reason = reversing.reason_against(config) if config.reverse == "follow" else ""
    if reason:
        raise PlanRefused(f"the old store cannot follow: {reason}", advice="leave --reverse follow out")


def refuse_strangers(work: Work) -> None:
    """Raise TargetNotEmpty when the target exists and does not bear this migration's mark."""
    target = work.target()
    if not target.exists():
        return
    mark = target.mark() or {}
    if mark.get("migration") == work.ref.migration:
        return
    made_by = f"was made by migration {mark['migration']}" if "migration" in mark else "was not made by vecferry"
    raise TargetNotEmpty(
        f"{target.url} exists and {made_by}",
        advice="give another collection name; to remove what a migration left behind: vecferry discard ID",
    )
