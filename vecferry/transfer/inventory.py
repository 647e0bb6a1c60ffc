"""Phase 1 as data: what a source is, from one pass over all of its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vecferry.config import MigrationConfig
from vecferry.contract import Source
from vecferry.mapping import Profile, Profiler, Rules
from vecferry.model import ALL_PARTS, CollectionSchema, Part, Slice
from vecferry.transfer import progress, retry
from vecferry.transfer.plan import cut, limited
from vecferry.transfer.read import read_slice

__all__ = ["Inventory", "rules_of", "take_inventory"]

BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Inventory:
    """Schema, profile of all records, the slices that were read, and the fingerprint of the source's files."""

    schema: CollectionSchema
    profile: Profile
    slices: tuple[Slice, ...]
    fingerprint: str


def take_inventory(
    source: Source, config: MigrationConfig, begin: Callable[[int], None], moved: Callable[[int], None]
) -> Inventory:
    """Read every id, payload and document once; vectors only where reading them costs little.

    `begin` is told the exact count, `moved` the rows as they pass. Memory: a batch, and 16 bytes an id.
    """
    fingerprint, count = source.fingerprint(), retry.call(config.retry_budget_s, source.count)
    rows = count if config.limit is None else min(count, config.limit)
    begin(rows)
    slices = cut(source, rows, config.slice_rows, config.workers)
    if config.limit is not None:
        slices = limited(slices, config.limit)
    profiler = Profiler()
    for part in slices:
        profiler.merge(retry.call(config.retry_budget_s, partial(_profile, source, part, moved)))
    return Inventory(source.describe(), profiler.profile(), slices, fingerprint)


def _profile(source: Source, part: Slice, moved: Callable[[int], None]) -> Profiler:
    wanted = ALL_PARTS if source.capabilities().cheap_vectors else frozenset({Part.PAYLOAD, Part.DOCUMENT})
    profiler = Profiler()
    with progress.provisional(moved) as passed:
        for batch in read_slice(source, part, wanted, BATCH_ROWS):
            profiler.observe(batch)
            passed(batch.num_rows)
    return profiler


def rules_of(config: MigrationConfig) -> Rules:
    """The user's wishes for the mapping."""
    return Rules(
        document_field=config.document_field,
        metric=config.metric,
        id_field=config.id_field,
        side_field=config.side_field,
        consent=config.consent,
        aliases_stay="a trial gets no alias" if config.limit is not None else "",
    )
