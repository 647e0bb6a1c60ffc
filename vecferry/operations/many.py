"""Many collections of one store: each with its own migration, plan, state and verdict; together a group of the ledger.

The list is planned and stored before the first of them starts. What is done is not done again, what failed keeps
nobody else from moving, and at the end both stores are counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vecferry import address, failpoints
from vecferry.address import Address, above
from vecferry.config import MigrationConfig, Selection, make_config, make_selection
from vecferry.contract import Listing
from vecferry.errors import DataDiffer, Stopped, UnsafeRoute, VecferryError
from vecferry.ledger import Entry, Group, Holder, Ledger, Migration, migration_resource
from vecferry.model import JsonObject
from vecferry.operations.members import RUN_FACT, Member, Outcome, error_fact, member_of, worst
from vecferry.operations.migrations import entry_of, logical_name
from vecferry.operations.selecting import Pair, chosen, is_chosen, pairs, require_some
from vecferry.stores import registry
from vecferry.strategies.runner import Ref
from vecferry.transfer import retry

__all__ = [
    "Attempt",
    "Count",
    "Opened",
    "Request",
    "beside",
    "count",
    "find",
    "members_of",
    "open_group",
    "reopen",
    "run",
    "shortfall",
    "tally",
]

_LEASE_S = 60.0
_OF_A_RUN = ("approve", "approve_timeout_s", "batch_rows", "workers", "max_rows_per_s", "retry_budget_s", "hooks")
"""Options that no plan depends on."""

Attempt = Callable[[Ref], VecferryError | None]
"""Runs one migration from wherever it stopped; how it failed, if it did."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a command asked for: two stores with the options of every migration, which collections, and how."""

    config: MigrationConfig
    selection: Selection
    strategy: str

    def to_json(self) -> dict[str, Any]:
        """As the ledger keeps it; no secret is part of it."""
        return {
            "config": self.config.model_dump(mode="json"),
            "selection": self.selection.model_dump(mode="json"),
            "strategy": self.strategy,
        }

    @classmethod
    def from_json(cls, content: JsonObject) -> Request:
        """What `to_json` gave."""
        config = make_config(dict(content["config"]), where="the group")
        return cls(config, make_selection(dict(content["selection"])), str(content["strategy"]))

    @property
    def identity(self) -> str:
        """The same text for every command that means the same group: what goes where, under which names."""
        config = self.config
        stores = [str(config.source.public()), str(config.target.public())]
        return json.dumps([self.strategy, *stores, self.selection.target_name, config.limit])


@dataclass(frozen=True, slots=True)
class Opened:
    """A group with those of its members that a command means, in order, and how each would be entered now."""

    group: Group
    request: Request
    members: tuple[str, ...]
    entries: dict[str, Entry]
    notes: tuple[str, ...] = ()


def find(request: Request, made: frozenset[str] = frozenset()) -> tuple[tuple[Pair, ...], Listing]:
    """The collections that are meant, but for those `made`, each with its own configuration. Nothing is written.

    Raises NotFound where there is none, BadOption where two would meet in the target.
    """
    config = request.config
    listing = _listing(config, config.source.address())
    listing = replace(listing, collections=tuple(one for one in listing.collections if str(one.address) not in made))
    found = chosen(listing, request.selection)
    require_some(found, listing, str(config.source.public()), request.selection)
    return pairs(found, config, request.selection, request.strategy), listing


def _listing(config: MigrationConfig, store: Address) -> Listing:
    return retry.call(config.retry_budget_s, partial(registry.list_collections, store))


def open_group(ledger: Ledger, request: Request) -> Opened:
    """Plan the list and store it. The same command again finds its group, and adds what has appeared since."""
    known = ledger.live_group(request.identity)
    made = frozenset(one.target_url for one in ledger.members(known.id)) if known is not None else frozenset()
    listed, listing = find(request, made)
    entries = [entry_of(pair.config, request.strategy) for pair in listed]
    source, target = request.config.source.public(), request.config.target.public()
    group = ledger.open_group(
        identity=request.identity,
        name=f"many-to-{target.scheme.partition('+')[0]}",
        strategy=request.strategy,
        source_url=str(source),
        target_url=str(target),
        request=request.to_json(),
        entries=entries,
    )
    failpoints.reached("many.opened")
    by_source = {entry.source_url: entry for entry in entries}
    meant = [one.id for one in ledger.members(group.id) if _is_meant(one, request.selection, by_source)]
    return Opened(group, request, tuple(meant), by_source, listing.notes)


def _is_meant(migration: Migration, selection: Selection, listed: Mapping[str, Entry]) -> bool:
    """Also one that has vanished from the source since it was entered."""
    source = address.parse(migration.source_url)
    return migration.source_url in listed or is_chosen(logical_name(source), selection)


def reopen(ledger: Ledger, text: str) -> Opened:
    """A group by its id, with all of its members. Raises NotFound."""
    group = ledger.group(text)
    members = tuple(one.id for one in ledger.members(group.id))
    return Opened(group, Request.from_json(group.request), members, {})


def run(ledger: Ledger, opened: Opened, attempt: Attempt, *, told: Callable[[Member], None]) -> None:
    """Run what is not done, one after the other; `told` hears of each. An error is kept, and the next one begins."""
    for member_id in opened.members:
        member = member_of(ledger, ledger.migration(member_id))
        if member.outcome not in (Outcome.DONE, Outcome.ENDED):
            error = _run_member(ledger, member, opened.entries.get(member.migration.source_url), attempt)
            ledger.set_fact(member_id, RUN_FACT, error_fact(error))
            failpoints.reached("many.recorded")
            member = member_of(ledger, ledger.migration(member_id))
        told(member)


def _run_member(ledger: Ledger, member: Member, wanted: Entry | None, attempt: Attempt) -> VecferryError | None:
    try:
        _refresh(ledger, member, wanted)
    except VecferryError as error:
        return error
    return attempt(Ref(ledger.url, member.migration.id))


def _refresh(ledger: Ledger, member: Member, wanted: Entry | None) -> None:
    """Take the options of now: all of them without a plan, so that a source is looked at again; else those of a run."""
    migration = member.migration
    before, entry = _entry(migration), wanted or _entry(migration)
    if migration.planned_at is None and (member.outcome is Outcome.FAILED or entry != before):
        change: Callable[..., object] = partial(ledger.begin_anew, migration.id, entry)
    elif migration.planned_at is not None and (options := _changed(before, entry)):
        change = partial(ledger.change_options, migration.id, options)
    else:
        return
    lease = ledger.acquire([migration_resource(migration.id)], Holder.here(), ttl_s=_LEASE_S)
    try:
        change(token=lease.token)
    finally:
        ledger.release(lease)


def _changed(before: Entry, now: Entry) -> JsonObject:
    return {name: now.config[name] for name in _OF_A_RUN if now.config[name] != before.config.get(name)}


def _entry(migration: Migration) -> Entry:
    return Entry(**{name: getattr(migration, name) for name in Entry.__slots__})


@dataclass(frozen=True, slots=True)
class Count:
    """Both stores counted after a run: what stands in only one of group and source, and what the target lacks.

    `problem` says why they could not be counted; then nothing is known of the last three.
    """

    found: int
    verified: int
    failed: int
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    problem: str = ""


def members_of(ledger: Ledger, opened: Opened) -> tuple[Member, ...]:
    """The members that are meant, as they stand."""
    return tuple(member_of(ledger, ledger.migration(member_id)) for member_id in opened.members)


def tally(members: Sequence[Member]) -> Count:
    """The members counted; no store is asked."""
    return Count(
        found=len(members),
        verified=sum(one.verified for one in members),
        failed=sum(one.outcome is Outcome.FAILED for one in members),
    )


def count(ledger: Ledger, opened: Opened, members: Sequence[Member]) -> Count:
    """The members counted, and the two stores as they are listed now."""
    found = tally(members)
    try:
        missing = _missing(opened, members)
        listing = _listing(opened.request.config, opened.request.config.source.address())
    except VecferryError as error:
        return replace(found, problem=str(error))
    everyone = ledger.members(opened.group.id)
    known = {url for one in everyone for url in (one.source_url, one.target_url)}
    there = {str(one.address) for one in listing.collections}
    return replace(
        found,
        appeared=tuple(
            str(one.address) for one in chosen(listing, opened.request.selection) if str(one.address) not in known
        ),
        vanished=tuple(one.migration.source_url for one in members if one.migration.source_url not in there),
        missing=missing,
    )


def _missing(opened: Opened, members: Sequence[Member]) -> tuple[str, ...]:
    """Targets that were verified and that the target's own listing does not name."""
    wanted = {one.migration.target_url for one in members if one.verified}
    return tuple(sorted(wanted - _listed_by(opened.request.config, wanted)))


def beside(request: Request, targets: Collection[str]) -> tuple[str, ...]:
    """What the stores of these targets list besides them."""
    return tuple(sorted(_listed_by(request.config, targets) - set(targets)))


def _listed_by(config: MigrationConfig, targets: Collection[str]) -> set[str]:
    """All collections of the stores that these are in."""
    stores = {str(above(address.parse(url))) for url in targets}
    places = [config.target.model_copy(update={"url": store}) for store in sorted(stores)]
    listings = [_listing(config, place.address()) for place in places]
    return {str(one.address) for listing in listings for one in listing.collections}


def shortfall(members: Sequence[Member], counted: Count, group: Group) -> VecferryError | None:
    """Why not everything is done, as one error of the most serious kind; None when it is."""
    said = [f"{outcome}: {number}" for outcome, number in Counter(one.outcome for one in members).items()]
    kind = worst(members)
    if counted.missing and kind is not UnsafeRoute:
        kind = DataDiffer
        said.append(f"the target does not list {', '.join(counted.missing)}")
    if counted.appeared:
        kind = kind or Stopped
        said.append(f"{len(counted.appeared)} appeared meanwhile, which the same command takes along")
    if counted.problem:
        kind = kind or Stopped
        said.append(f"the stores could not be counted again: {counted.problem}")
    if kind is None:
        return None
    waiting = any(one.outcome is Outcome.WAITING for one in members)
    approve = "vecferry approve ID for each that waits, then " if waiting else ""
    return kind(
        f"{counted.verified} of {counted.found} collections are verified ({', '.join(said)})",
        advice=f"vecferry status {group.id} says why; {approve}vecferry resume {group.id} goes on with the rest",
    )
