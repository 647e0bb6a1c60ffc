"""What the ledger answers, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vecferry.ledger.holder import Holder
from vecferry.ledger.states import State
from vecferry.model import JsonObject, Receipt, Slice

__all__ = ["Answer", "Approval", "AuditEntry", "Entry", "Group", "Lease", "Migration", "Route", "SliceRow"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a migration is entered with."""

    name: str
    strategy: str
    source_url: str
    target_url: str
    route: str
    archive: str
    config: JsonObject
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Migrations of many collections from one store to another. `request` is what the last command asked for.

    `identity` is a text that is the same for every command that means this group.
    """

    id: str
    identity: str
    strategy: str
    source_url: str
    target_url: str
    request: JsonObject
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration of one collection. `planned_at` is None until its plan is stored.

    `limit` is the number of rows of a trial, which is never switched. `group_id` and `member` (from 0) are its
    group and its place there, None where it was started alone.
    """

    id: str
    name: str
    strategy: str
    source_url: str
    target_url: str
    route: str
    archive: str
    config: JsonObject
    limit: int | None
    state: State
    created_at: datetime
    changed_at: datetime
    planned_at: datetime | None
    group_id: str | None = None
    member: int | None = None


@dataclass(frozen=True, slots=True)
class SliceRow:
    """How far one slice is: None for what was not done yet."""

    slice: Slice
    copied: Receipt | None
    loaded_at: datetime | None
    verified: JsonObject | None


@dataclass(frozen=True, slots=True)
class Route:
    """The collection that serves reads and writes of a logical name.

    `epoch` grows with each change of `url`. `alias` is what the engine's alias was meant to become with
    this epoch, `alias_confirmed_at` when it was read back so (None: not yet, or no alias).
    `migration` is the one that may switch it.
    """

    name: str
    url: str
    epoch: int
    previous_url: str | None
    migration: str
    changed_at: datetime
    alias: JsonObject | None
    alias_confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on `resources` until `expires_at`, by the ledger's clock.

    `token` is greater than every token given before. `displaced` are holders that had not released:
    their last writes may still be under way, so wait out the driver's time-out before the first write.
    """

    token: int
    resources: tuple[str, ...]
    holder: Holder
    ttl_s: float
    expires_at: datetime
    displaced: tuple[Holder, ...] = ()


class Answer(StrEnum):
    """What a person says to an approval form."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Approval:
    """A form that a person was shown, bound to a route's epoch and a verdict's digest, and the answer to it."""

    migration: str
    number: int
    epoch: int
    verdict: str
    form: JsonObject
    asked_at: datetime
    answer: Answer | None
    answered_by: str | None
    note: str | None
    answered_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that happened. `hash` covers the content and `previous`, the hash of the entry before."""

    number: int
    at: datetime
    actor: str
    migration: str | None
    event: str
    detail: JsonObject
    previous: str
    hash: str
