"""What keeps the protocol safe, each by a name: take one out, and the model shows what goes wrong without it."""

from __future__ import annotations

from enum import Enum

__all__ = ["ALL", "KNOWN_FAILURES", "Guard", "Guards", "without"]


class Guard(Enum):
    """A guard: the protocol's step that it belongs to, and the failure that it keeps away."""

    WAIT_AFTER_PAUSE = ("S9", "pause without the wait")
    READ_TARGET_LAST = ("S10", "no target read after the last writes")
    FENCE_LATE_UPSERTS = ("S3", "no fence for own late upserts")
    READ_BACK_BEFORE_HOOK = ("S13", "hook repeated after a crash")
    PAUSE_HAS_AN_END = ("S9", "pause without an end")
    LATE_PASS_AFTER_ROLLBACK = ("S17", "rollback without a late pass")
    OPEN_INTENT_IS_OURS = ("S3", "a crash in the reverse write taken for a conflict")
    SYNC_STOPS_AT_SWITCH = ("S6", "a sync that writes after the switch")
    BRAKES_SINCE_APPROVAL = ("S5", "per-pass brakes")
    LEDGER_IDS_IN_PASS = ("S19", "pass by filter alone when a row changes its workspace")
    RECORDED_LINK_WINS = ("S2", "mapping recomputed instead of the recorded link")
    LAST_LOOK_BEFORE_DROP = ("S14", "drop without a last look")

    TOKEN_BEFORE_EACH_WRITE = ("S1", "a run that lost its lease goes on writing")
    COUNT_BEFORE_WRITE = ("S5", "brakes that forget what was written right before a crash")
    ALLOWANCE_BOUND_TO_DIGEST = ("S5", "an allowance for deletions that nobody was shown")
    POINT_READS_BEFORE_DELETE = ("S5", "a row that a torn scan missed is deleted")
    SECOND_POINT_READ = ("S5", "a row that is not visible yet is deleted")
    ABSENT_IN_TWO_PASSES = ("S5", "an update made of a delete and an insert is a hole for readers of the new store")
    PROBE_AFTER_APPROVAL = ("S8", "the old store is written before anybody has approved")
    COMMIT_WITHIN_PAUSE = ("S12", "a switch after its pause has ended")
    EXPIRED_TOKEN_REFUSED = ("S12", "a switch call of a dead run is obeyed when it arrives late")
    PASSES_AGAIN_AFTER_CRASH = ("S13", "recovery goes on with the switch without looking again")
    UNDO_ONLY_BEFORE_COMMIT = ("S13", "recovery undoes a switch that was committed")
    LOOK_BEFORE_GOING_ON = ("S13", "recovery goes on although both stores were written after the pause")
    RELEASE_ON_UNDO = ("S9", "a pause that was undone and not released")
    LATE_PASS_AFTER_SWITCH = ("S14", "switch without a late pass")
    CHECK_BEFORE_OVERWRITE = ("S16", "a late write of the old side is overwritten on the way back")
    MERGE_UNDER_PAUSE = ("S18", "a merge while the application writes to the old store")
    WRITE_WITHIN_PAUSE = ("S18", "a merge that writes to a store in use while its pause ends")
    PAUSE_COVERS_MOVERS = ("S19", "a pause that leaves out who moves rows into the group")
    CARRIED_ACROSS_SIDES = ("S20", "a row that moved to a workspace of the other side stays behind")
    FOREIGN_ROWS_STAY = ("S20", "a row that vecferry did not write is deleted")
    OBSERVED_ROUTE_AT_COMPLETE = ("S22", "complete while a part of the application uses the old store")
    DISCARD_WAITS = ("S23", "a late write of an aborted run enters the next one")

    def __init__(self, step: str, failure: str) -> None:
        self.step = step
        self.failure = failure


Guards = frozenset[Guard]

ALL: Guards = frozenset(Guard)

KNOWN_FAILURES = (
    Guard.WAIT_AFTER_PAUSE,
    Guard.READ_TARGET_LAST,
    Guard.FENCE_LATE_UPSERTS,
    Guard.READ_BACK_BEFORE_HOOK,
    Guard.PAUSE_HAS_AN_END,
    Guard.LATE_PASS_AFTER_ROLLBACK,
    Guard.OPEN_INTENT_IS_OURS,
    Guard.SYNC_STOPS_AT_SWITCH,
    Guard.BRAKES_SINCE_APPROVAL,
    Guard.LEDGER_IDS_IN_PASS,
    Guard.RECORDED_LINK_WINS,
    Guard.LAST_LOOK_BEFORE_DROP,
)
"""The protocol's own list of failures that have been seen; the other guards came up while it was modelled."""


def without(*taken: Guard) -> Guards:
    """All guards but these."""
    return ALL - set(taken)
