"""Each guard taken out in turn: the model finds the failure that it keeps away, by a shortest way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol.explore import explore
from tests.protocol.guards import ALL, KNOWN_FAILURES, Guard, without
from tests.protocol.scenarios import SHOWS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "protocol-model.md"

KNOWN: dict[Guard, tuple[str, tuple[str, ...]]] = {
    Guard.WAIT_AFTER_PAUSE: ("I1", ("send_write", "s9_pause", "s10_target_read", "s12_commit", "write_lands")),
    Guard.READ_TARGET_LAST: ("I1", ("s3_read_back", "store_forgets", "s10_target_read", "s12_check")),
    Guard.FENCE_LATE_UPSERTS: ("I2", ("s3_write", "s12_commit", "send_write", "write_lands", "own_write_lands")),
    Guard.READ_BACK_BEFORE_HOOK: ("I1", ("s12_hook_intent", "pause_ends", "send_write", "s13_recover", "s12_check")),
    Guard.PAUSE_HAS_AN_END: ("I3", ("s9_pause",)),
    Guard.LATE_PASS_AFTER_ROLLBACK: ("I1", ("approve_rollback", "s12_release", "late_write_lands", "s14_late_pass")),
    Guard.OPEN_INTENT_IS_OURS: ("I5", ("s3_intent", "s3_write", "crash", "approve_rollback", "s16_merge")),
    Guard.SYNC_STOPS_AT_SWITCH: ("I1", ("s12_switch", "s6_sync_begins", "s1_sync_writes")),
    Guard.BRAKES_SINCE_APPROVAL: ("I8", ("s5_pass", "s3_close", "s5_pass", "s3_write")),
    Guard.LEDGER_IDS_IN_PASS: ("I1", ("change_workspace", "s19_pass", "s12_release")),
    Guard.RECORDED_LINK_WINS: ("I9", ("s3_intent", "function_changes", "s3_write", "s3_intent", "s3_write")),
    Guard.LAST_LOOK_BEFORE_DROP: ("I6", ("s22_complete", "late_write_lands", "s23_drop")),
}
"""What breaks, and steps that a way to it has in this order."""

MORE: dict[Guard, tuple[str, tuple[str, ...]]] = {
    Guard.TOKEN_BEFORE_EACH_WRITE: ("I1", ("s6_sync_reads", "sync_falls_asleep", "s9_pause", "s1_sync_writes")),
    Guard.COUNT_BEFORE_WRITE: ("I8", ("s3_write", "crash", "s5_pass", "s3_write")),
    Guard.ALLOWANCE_BOUND_TO_DIGEST: ("I8", ("s5_pass", "row_vanishes", "allow_deletes", "s5_pass", "s3_write")),
    Guard.POINT_READS_BEFORE_DELETE: ("I5", ("s4_first_slice", "row_moves", "s4_second_slice", "s5_delete")),
    Guard.SECOND_POINT_READ: ("I5", ("insert_again", "s5_point_read", "s5_delete")),
    Guard.ABSENT_IN_TWO_PASSES: ("I5", ("update_in_two", "s5_second_point_read", "s5_delete")),
    Guard.PROBE_AFTER_APPROVAL: ("I4", ("s8_preflight",)),
    Guard.COMMIT_WITHIN_PAUSE: ("I7", ("s9_pause", "pause_ends", "s12_commit")),
    Guard.EXPIRED_TOKEN_REFUSED: ("I7", ("approve_rollback", "s12_check", "late_call_arrives")),
    Guard.PASSES_AGAIN_AFTER_CRASH: ("I1", ("s12_commit", "crash", "send_write", "s13_recover", "s12_check")),
    Guard.UNDO_ONLY_BEFORE_COMMIT: ("I7", ("s12_commit", "crash", "s13_recover")),
    Guard.LOOK_BEFORE_GOING_ON: ("I1", ("pause_ends", "write_lands", "straggler_follows", "s13_recover")),
    Guard.RELEASE_ON_UNDO: ("I3", ("s9_pause", "crash", "s9_undo")),
    Guard.LATE_PASS_AFTER_SWITCH: ("I1", ("s12_release", "late_write_lands", "s14_late_pass")),
    Guard.CHECK_BEFORE_OVERWRITE: ("I1", ("s16_merge", "late_write_lands", "s3_write")),
    Guard.MERGE_UNDER_PAUSE: ("I1", ("approve_late_merge", "s16_merge", "write_lands")),
    Guard.WRITE_WITHIN_PAUSE: ("I2", ("s3_write", "pause_ends", "write_lands", "own_write_lands")),
    Guard.PAUSE_COVERS_MOVERS: ("I1", ("s9_pause", "s19_pass", "change_workspace", "s12_release")),
    Guard.CARRIED_ACROSS_SIDES: ("I1", ("change_workspace", "s19_pass", "s12_release")),
    Guard.FOREIGN_ROWS_STAY: ("I1", ("change_workspace", "s9_pause", "s19_pass")),
    Guard.OBSERVED_ROUTE_AT_COMPLETE: ("I6", ("s22_complete",)),
    Guard.DISCARD_WAITS: ("I2", ("s23_discard", "next_run_copies", "own_write_lands")),
}


def _require(guard: Guard, number: str, steps: tuple[str, ...]) -> None:
    failure = explore(SHOWS[guard], without(guard)).failure
    assert failure is not None, f"without {guard.name} nothing goes wrong"
    assert failure.number == number, str(failure)
    left = iter(failure.names)
    assert all(step in left for step in steps), f"expected in this order: {', '.join(steps)}\n{failure}"


def _named(guard: Guard) -> str:
    return f"{guard.step}-{guard.failure.replace(' ', '-')}"


@pytest.mark.parametrize("guard", KNOWN, ids=_named)
def test_a_known_failure_shows_itself_without_its_guard(guard: Guard) -> None:
    """Each failure that is known happens once its guard is gone, and by the way that is known."""
    _require(guard, *KNOWN[guard])


@pytest.mark.parametrize("guard", MORE, ids=_named)
def test_a_guard_that_the_model_asks_for_is_needed(guard: Guard) -> None:
    """The guards beyond the known failures keep something away as well."""
    _require(guard, *MORE[guard])


def test_every_guard_is_taken_out_once() -> None:
    """No guard is in the model without a failure that it is needed for."""
    assert set(KNOWN) == set(KNOWN_FAILURES)
    assert len(KNOWN_FAILURES) == 12
    assert set(KNOWN) | set(MORE) == ALL == set(SHOWS)
    assert not set(KNOWN) & set(MORE)


def test_every_invariant_breaks_without_some_guard() -> None:
    """An invariant that nothing can break would prove nothing."""
    assert {number for number, _ in (KNOWN | MORE).values()} == {f"I{number}" for number in range(1, 10)}


def test_a_guard_can_be_taken_out_by_hand() -> None:
    """`python -m tests.protocol --without GUARD` prints what goes wrong, step by step, as the page shows it."""
    command = [sys.executable, "-m", "tests.protocol", "--without", "LAST_LOOK_BEFORE_DROP"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in PAGE.read_text()


def test_the_page_names_every_guard() -> None:
    """`docs/protocol-model.md` lists each guard, its step, and what goes wrong without it."""
    rows = "\n".join(f"| `{guard.name}` | {guard.step} | {guard.failure} |" for guard in Guard)
    assert rows in PAGE.read_text()
