"""The inventory of a collection for people: what it holds, how much room it takes, and what will not fit a target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from vecferry.address import Address
from vecferry.config import MigrationConfig, StoreConfig
from vecferry.contract import Source
from vecferry.mapping import Mapping
from vecferry.model import Decision, Feature, Filterable, Outcome
from vecferry.operations.look import NAME, counted, mapping_between
from vecferry.stores import registry
from vecferry.survey.load import Load, load_of
from vecferry.survey.sizing import ENGINES, Estimate, estimate, guide_bytes
from vecferry.transfer import progress
from vecferry.transfer.inventory import Inventory, Surveyed, take_survey
from vecferry.transfer.originals import in_original_terms
from vecferry.transfer.space import estimate_bytes
from vecferry.transfer.stored import StoredSize, stored_size

__all__ = ["Fit", "Inspection", "Sizes", "inspect"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Room for all records of a collection.

    `stored`: on disk now. `loaded`: the estimate for the engine that has it now (None for files). `estimates`: for
    the target, or for every engine where none was named. `guide_ram_bytes`: the rule of thumb beside them.
    """

    stored: StoredSize
    archive_at_most_bytes: int
    guide_ram_bytes: int
    loaded: Estimate | None
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a migration to a target would do with each feature. `misfits`: refused, lossy, or no longer filterable."""

    target: str
    exists: bool
    decisions: tuple[Decision, ...]
    misfits: tuple[Decision, ...]
    not_moved: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything that an inventory shows."""

    surveyed: Surveyed
    sizes: Sizes
    fit: Fit | None

    @property
    def complete(self) -> bool:
        """Whether every record was read."""
        return self.surveyed.survey.rows == self.surveyed.records


def inspect(config: MigrationConfig, target: StoreConfig | None = None, *, vectors: bool = True) -> Inspection:
    """Read the source of `config` once. Moves nothing, and makes nothing in `target`, which need not exist."""
    place = config.source.address()
    if target is not None:
        # Before the long read: a wrong URL, or a server that is away, is told at once.
        registry.open_target(target.address()).close()
    with registry.open_source(place) as stored, in_original_terms(stored) as source:
        begin = partial(progress.begin, NAME, "inventory")
        found = take_survey(source, config, begin, counted("inventory", config), vectors=vectors)
        fit = None if target is None else _fit(found.inventory, source, target, config)
        # Last: an embedded engine is closed for it, so that its files are whole.
        disk = stored_size(place, stored)
    return Inspection(found, _sizes(found, disk, place, None if target is None else target.address()), fit)


def _fit(found: Inventory, source: Source, target: StoreConfig, config: MigrationConfig) -> Fit:
    with registry.open_target(target.address()) as opened:
        mapping = mapping_between(found, source, opened, config)
        exists = opened.exists()
    misfits = tuple(decision for decision in mapping.decisions if _misfits(decision, mapping))
    return Fit(str(target.public()), exists, mapping.decisions, misfits, mapping.not_moved)


def _misfits(decision: Decision, mapping: Mapping) -> bool:
    lost = decision.outcome in (Outcome.REFUSED, Outcome.LOSSY) or decision.filterable is Filterable.LOST
    return lost or decision in mapping.refusals()


def _sizes(found: Surveyed, stored: StoredSize, place: Address, target: Address | None) -> Sizes:
    load = load_of(found.inventory.schema, found.survey, found.records)
    every = [*(estimate(engine, load) for engine in ENGINES), estimate("faiss", load, {"index": "hnsw"})]
    estimates = every if target is None else [_estimate_at(target, load)]
    return Sizes(
        stored,
        estimate_bytes(found.inventory.schema, load.records, load.text_bytes),
        guide_bytes(load),
        _estimate_at(place, load),
        tuple(one for one in estimates if one is not None),
    )


def _estimate_at(place: Address, load: Load) -> Estimate | None:
    store = registry.entry(place.scheme)
    # Only milvus-lite builds no graph unless it is told to.
    default = {"index": "FLAT"} if place.scheme == "milvus+path" else {}
    return estimate(store.kind or store.scheme, load, default | place.options)
