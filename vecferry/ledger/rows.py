"""What the ledger answers, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vecferry.ledger.holder import Holder
from vecferry.ledger.states import State
from vecferry.model import JsonObject, Receipt, Slice

__all__ = [
    "DEFAULT_WORKSPACE",
    "MISSING_WORKSPACE",
    "Answer",
    "Approval",
    "AuditEntry",
    "Delta",
    "Direction",
    "Entry",
    "Event",
    "Group",
    "Hold",
    "Hook",
    "Kind",
    "Lease",
    "Migration",
    "Pass",
    "Pause",
    "Route",
    "Serving",
    "SliceRow",
    "Workspace",
]

MISSING_WORKSPACE = "missing"
"""Key of the group of records without the field. Not JSON, so no value has it."""

DEFAULT_WORKSPACE = "default"
"""Key of the group of all records that are in no other; the route of the whole collection is its own."""


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
    group and its place there, None where it was started alone. One of a single workspace has the rolling migration
    that it belongs to as its `parent`, and its `workspace`'s key.
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
    parent: str | None = None
    workspace: str | None = None

    @property
    def owner(self) -> str:
        """The migration that has the route, and whose mark the target bears: the parent, where there is one."""
        return self.parent or self.id


@dataclass(frozen=True, slots=True)
class SliceRow:
    """How far one slice is: None for what was not done yet."""

    slice: Slice
    copied: Receipt | None
    loaded_at: datetime | None
    verified: JsonObject | None


@dataclass(frozen=True, slots=True)
class Route:
    """The collection that serves reads and writes of a logical name, or of one workspace of it.

    `epoch` grows with each change of `url` or `reads_url`. `alias` is what the engine's alias was meant to become with
    this epoch, `alias_confirmed_at` when it was read back so (None: not yet, or no alias).
    `migration` is the one that may switch it. `reads_url` serves the reads alone; None: `url` serves both.
    """

    name: str
    url: str
    epoch: int
    previous_url: str | None
    migration: str
    changed_at: datetime
    alias: JsonObject | None
    alias_confirmed_at: datetime | None
    reads_url: str | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """The writes of a route, or of one workspace of it, wait until `paused_until`, by the ledger's clock.

    `token` is greater than every pause's before. `returns_to` is the state to go back to without a switch (None: the
    pause came with no state). `approval` is the yes that was used for it. `workspace` None: the whole collection.
    """

    route: str
    workspace: str | None
    token: int
    migration: str
    approval: int | None
    returns_to: State | None
    paused_at: datetime
    paused_until: datetime
    released_at: datetime | None = None
    released_by: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether writes wait at this time of the ledger's clock."""
        return self.released_at is None and now < self.paused_until


@dataclass(frozen=True, slots=True)
class Serving:
    """What an application that asks is told, at one instant. `pause` is the one that holds, None while writes are open.

    `ttl_s` is how long that pause lasts yet. `url` takes the writes, `reads_url` the reads.
    """

    name: str
    workspace: str | None
    url: str
    reads_url: str
    epoch: int
    at: datetime
    pause: Pause | None

    @property
    def writes(self) -> str:
        """`open` or `paused`."""
        return "open" if self.pause is None else "paused"

    @property
    def ttl_s(self) -> float | None:
        """Seconds until the pause ends by itself."""
        return None if self.pause is None else (self.pause.paused_until - self.at).total_seconds()


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


class Kind(StrEnum):
    """What a yes allows."""

    SWITCH = "switch"
    ROLLBACK = "rollback"
    WORKSPACES = "workspaces"


@dataclass(frozen=True, slots=True)
class Approval:
    """A form that a person was shown, bound to a route's epoch and a verdict's digest, and the answer to it.

    The last delta before the switch may have `largest_delta_rows`. From `expires_at` on it is worth nothing.
    """

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
    kind: Kind = Kind.SWITCH
    largest_delta_rows: int | None = None
    expires_at: datetime | None = None


class Hold(StrEnum):
    """Why a run leaves a workspace where it is."""

    PAUSED = "paused"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One group of records of a rolling migration. `key` is what `workspace_key` makes of the group's value.

    `position` is its place in the order of work (by default its number). `attempts` counts how often work on it began,
    `note` says how the last one ended. `condition` says which records are its own; `child` is the id of the migration
    that moves them.
    """

    number: int
    key: str
    rows: int
    position: int | None = None
    state: State = State.PLANNED
    attempts: int = 0
    hold: Hold | None = None
    note: str = ""
    changed_at: datetime | None = None
    condition: JsonObject | None = None
    child: str = ""


class Direction(StrEnum):
    """Which way changes are carried."""

    FORWARD = "forward"
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class Delta:
    """One delta part of the archive: recorded before its first write, then loaded, then closed by a read-back.

    `closing` numbers the closed ones in the order of closing: of two that name one id, the greater tells its state.
    `hashes` is the receipt of what was read back. `note` is what the pass tells besides.
    """

    migration: str
    number: int
    direction: Direction
    receipt: Receipt
    counts: JsonObject
    note: JsonObject
    recorded_at: datetime
    loaded_at: datetime | None
    hashes: Receipt | None
    closing: int | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a store, in one direction. `whole`: nothing was left out, not even by a watermark.

    `differences` (to the known state) and `digest` (of what was read) are None until it has ended.
    """

    migration: str
    number: int
    direction: Direction
    whole: bool
    started_at: datetime
    ended_at: datetime | None
    differences: int | None
    digest: str | None
    note: JsonObject


@dataclass(frozen=True, slots=True)
class Hook:
    """A call to the application: intended, then with an outcome. `number` makes the key that tells repeats apart."""

    migration: str
    number: int
    action: str
    workspace: str | None
    epoch: int
    request: JsonObject
    intended_at: datetime
    outcome: JsonObject | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """A step that the outside is to learn of. `id` is a UUID; the same step always has the same one."""

    number: int
    id: str
    event: str
    migration: str | None
    payload: JsonObject
    at: datetime
    sent_at: datetime | None


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
