"""Phases of a rolling migration: which workspaces there are, and the plan of one of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from functools import partial

from vecferry import batch as columns
from vecferry import failpoints
from vecferry.archive import Archive
from vecferry.conditions import Between, to_plain
from vecferry.config import Rolling
from vecferry.errors import BadOption, DataDiffer, PlanRefused
from vecferry.grouping import ByField, ByRanges, Discovery, Group, discover, not_carried
from vecferry.ledger import DEFAULT_WORKSPACE, State, Workspace, key_of
from vecferry.mapping import Mapping
from vecferry.model import IDS_ONLY
from vecferry.stores import registry
from vecferry.strategies.runner import Ref
from vecferry.strategies.unproven import forget_unproven
from vecferry.strategies.work import Work, open_work
from vecferry.strategies.workspace_list import keep_workspaces
from vecferry.transfer import handles, progress, retry
from vecferry.transfer.plan import Plan, cut

__all__ = [
    "MAX_FORMS",
    "decide_workspace",
    "divided",
    "enter_workspaces",
    "find_workspaces",
    "forget_copy",
    "require_rolling",
]

_TRIES = 3
MAX_FORMS = 50
"""Nobody reads more forms than this; one form then covers several workspaces."""


def require_rolling(ref: Ref) -> None:
    """Raise PlanRefused for stores of which one part cannot be written and served apart from the rest."""
    config = open_work(ref).config
    for side, store in (("source", config.source), ("target", config.target)):
        scheme = store.public().scheme
        if registry.holds_files(scheme) or registry.entry(scheme).only_read:
            raise PlanRefused(
                f"the {side} {store.public()} is made of files, which are served as a whole",
                advice="move it in one go: vecferry migrate --strategy blue-green",
            )


def find_workspaces(ref: Ref) -> None:
    """The workspaces, which are entered with the plan: counted and entered now where a run died in between.

    The archive lists them as they are now.

    Raises PlanRefused where the target could not tell them apart, DataDiffer where their sum is not the exact count.
    """
    work = open_work(ref)
    if work.ledger.workspaces(ref.migration):
        keep_workspaces(work)
        return
    enter_workspaces(work, divided(work, work.plan.mapping, work.plan.rows))
    keep_workspaces(work)
    work.release()


def divided(work: Work, mapping: Mapping, rows: int) -> list[Workspace]:
    """Count the groups of the source, of about `rows` records: a workspace each, in the order of work. Enters nothing.

    Raises PlanRefused where nobody could tell them apart in the target or answer their questions, BadOption where one
    that is to go first is not there, DataDiffer where their sum is not the exact count.
    """
    rolling = work.rolling
    progress.begin(work.ref.migration, "groups", rows)
    found = _discovered(work)
    reason = not_carried([group.condition for group in found.groups], mapping)
    if reason:
        raise PlanRefused(reason, advice="nothing was written; start anew, and group by another field: --by FIELD")
    if rolling.approve_by == "each" and len(found.groups) > MAX_FORMS:
        raise PlanRefused(
            f"{len(found.groups):,} workspaces would be {len(found.groups):,} questions",
            advice="nothing was written; start anew with --approve-by wave or once",
        )
    return [
        Workspace(number, group.key, group.rows, condition=to_plain(group.condition))
        for number, group in enumerate(_ordered(found.groups, rolling.first), 1)
    ]


def enter_workspaces(work: Work, found: Sequence[Workspace]) -> None:
    """Let these be the workspaces of the migration, for good."""
    work.ledger.store_workspaces(work.ref.migration, found, work.ref.token)
    failpoints.reached("rolling.workspaces_stored")


def _discovered(work: Work) -> Discovery:
    """The groups; counted again where the application wrote too much meanwhile for their sum to say anything."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(DataDiffer):
            return discover(work.source(), _by(work.rolling), work.limits("groups"))
    return discover(work.source(), _by(work.rolling), work.limits("groups"))


def _by(rolling: Rolling) -> ByField | ByRanges:
    borders = rolling.ranges
    if not borders:
        return ByField(rolling.by)
    pairs = itertools.pairwise(borders)
    return ByRanges(tuple(Between(rolling.by, start, end) for start, end in pairs))


def _ordered(groups: Sequence[Group], first: Sequence[str]) -> list[Group]:
    """Those named first in their order, then the smallest first; the group of all others last."""
    known = {group.key for group in groups if group.key != DEFAULT_WORKSPACE}
    keys = [key_of(name, known) for name in first]
    for name, key in zip(first, keys, strict=True):
        if key not in known:
            raise BadOption(f"no record is in the workspace {name}", advice="name workspaces that there are")
    place = {key: at for at, key in enumerate(keys)}
    return sorted(
        groups,
        key=lambda group: (group.key == DEFAULT_WORKSPACE, place.get(group.key, len(place)), group.rows, group.key),
    )


def decide_workspace(ref: Ref) -> None:
    """The plan of one workspace: what the whole collection's says, and slices of its own."""
    work = open_work(ref)
    if work.migration.planned_at is not None:
        return
    whole = Work(Ref(ref.ledger, work.owner), work.ledger)
    place, config = work.ledger.workspace(work.owner, str(work.workspace)), work.config
    handles.release(config.source.address())
    slices = retry.call(
        config.retry_budget_s, lambda: cut(work.source(), place.rows, config.slice_rows, config.workers)
    )
    forget_unproven(work, whole)
    plan = Plan(whole.plan.schema, whole.plan.mapping, place.rows, whole.plan.fingerprint, slices)
    for name in ("identity", "backup"):
        known = whole.fact(name)
        if known is not None:
            work.ledger.set_fact(ref.migration, name, known, ref.token)
    Archive.create(work.archive_folder, plan.schema.name, plan.to_json())
    work.ledger.store_plan(ref.migration, plan.to_json(), slices, ref.token)


def forget_copy(ref: Ref) -> int:
    """Take back what was copied of a workspace whose copy did not end, so that it is copied as it is now; the slices.

    What may have been written of it is deleted from the target: it is nobody else's there.
    """
    work = open_work(ref)
    copied = [row for row in work.slices() if row.copied is not None]
    if work.migration.state is not State.COPYING:
        return 0
    target, budget_s = work.target(), work.config.retry_budget_s
    for row in copied:
        for batch in work.archive.read_part(row.slice.number, work.config.batch_rows, IDS_ONLY):
            work.check()
            ids = columns.ids_of(work.plan.mapping.forward(columns.ids_of(batch)))
            retry.call(budget_s, partial(target.delete, ids))
        work.ledger.forget_slice(ref.migration, row.slice.number, ref.token)
    work.release()
    return len(copied)
