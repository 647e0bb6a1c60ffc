"""What the steps of a pass share: the known state, the ways of a delta, and which states allow which direction."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from vecferry.archive import Changes, DeltaEntry
from vecferry.errors import UnsafeRoute
from vecferry.ledger import Answer, Delta, Direction, Pass, State
from vecferry.model import Digest
from vecferry.strategies import telling
from vecferry.strategies.scope import encoding_of
from vecferry.strategies.work import Work
from vecferry.transfer.delta_making import Same
from vecferry.transfer.known import KnownState
from vecferry.transfer.passes import Spool, open_spool
from vecferry.transfer.ways import Forward, Reverse, Way
from vecferry.validation.same_parts import same_parts

__all__ = [
    "AUTOMATIC",
    "FORWARD",
    "REVERSE",
    "SERVED_BY_OLD",
    "SYNCED",
    "commit_deltas",
    "known_state",
    "last_yes",
    "open_deltas",
    "pass_folder",
    "require_direction",
    "same_of",
    "spool_of",
    "way_of",
]

SYNCED = frozenset({State.CATCHING_UP, State.VERIFYING, State.READY, State.READS_NEW})
"""States in which a sync carries changes of the source forward: the target is whole, and serves no writes."""

AUTOMATIC = "approve: auto"
"""Who said yes where the configuration did, and no person."""

FORWARD = SYNCED | {State.FROZEN}
SERVED_BY_OLD = frozenset({State.ROLLED_BACK_UNMERGED, State.ROLLED_BACK})
"""States after the way back of the route: the old store is written by the application, and by us under a pause only."""

REVERSE = frozenset({State.SWITCHED, State.ROLLBACK_FROZEN}) | SERVED_BY_OLD
_SWITCHING = {Direction.FORWARD: State.SWITCHING, Direction.REVERSE: State.ROLLBACK_SWITCHING}
_ALLOWED = {Direction.FORWARD: FORWARD, Direction.REVERSE: REVERSE}


def require_direction(work: Work, direction: Direction) -> None:
    """Raise UnsafeRoute where writing in this direction would overwrite what the application writes now.

    Once the route has moved, what it left is carried over once more only while nobody can have followed it.
    """
    state = work.migration.state
    again = state is _SWITCHING[direction] and not telling.may_be_followed(work)
    if state not in _ALLOWED[direction] and not again:
        raise UnsafeRoute(
            f"migration {work.ref.migration} is {state}: nothing may be carried over {direction} now",
            advice=f"vecferry status {work.ref.migration} shows what can be done",
        )


def pass_folder(work: Work, number: int) -> Path:
    """Where a pass lays aside what it reads: hidden, so that it is no part of the archive."""
    return Path(work.archive.place) / ".passes" / f"{number:05d}"


def spool_of(work: Work, found: Pass) -> Spool:
    """The spool of a pass. Raises Stopped when it is gone."""
    return open_spool(pass_folder(work, found.number))


def known_state(work: Work) -> KnownState:
    """What is known of every record."""
    return KnownState(work.archive, work.plan.mapping.forward)


def last_yes(work: Work) -> datetime | None:
    """When a person said yes last, if the newest question was answered so: brakes count from there."""
    found = work.ledger.approval(work.ref.migration)
    human = found is not None and found.answer is Answer.APPROVED and found.answered_by != AUTOMATIC
    return found.answered_at if found is not None and human else None


def open_deltas(work: Work, direction: Direction) -> list[Delta]:
    """Recorded deltas that nobody read back yet, in the order of their numbers."""
    return work.ledger.deltas(work.ref.migration, direction, open_only=True)


def way_of(work: Work, direction: Direction) -> Way:
    """How a delta of this direction is written."""
    if direction is Direction.FORWARD:
        return Forward(work.plan.mapping)
    source = work.source()
    return Reverse(work.plan.schema, source.capabilities(), encoding_of(source))


def same_of(way: Way) -> Same:
    """The comparison that allows what a way allows."""
    return same_parts(way.tolerances)


def commit_deltas(work: Work) -> None:
    """Let the archive's manifest list every delta that the ledger says is closed."""
    closed = [delta for delta in work.ledger.deltas(work.ref.migration) if delta.closing is not None]
    entries = tuple(_entry(delta) for delta in sorted(closed, key=lambda delta: delta.closing or 0))
    if entries and entries != work.archive.manifest().deltas:
        work.archive.commit(Changes(deltas=entries))


def _entry(delta: Delta) -> DeltaEntry:
    assert delta.hashes is not None
    assert delta.closing is not None
    added, removed = (Digest.parse(delta.counts[name]) for name in ("added", "removed"))
    return DeltaEntry(delta.receipt, delta.hashes, delta.direction.value, delta.closing, added, removed)
