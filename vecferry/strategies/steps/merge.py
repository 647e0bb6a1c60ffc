"""The way back of records: both stores are read, merged three ways, and what is new goes to the old store.

Like a pass forward: what is found becomes a delta, recorded before its first write, loaded, fenced and read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import failpoints
from vecferry.archive import DeltaRows
from vecferry.archive.conflicts import add_losers
from vecferry.config import MigrationConfig
from vecferry.contract import Source
from vecferry.errors import UnsafeRoute
from vecferry.ledger import Delta, Direction, Pass, State
from vecferry.strategies.catching_up import known_state, last_yes, require_direction
from vecferry.strategies.returning import (
    NEW,
    OLD,
    Settlement,
    left_deltas,
    mark_left,
    merging_of,
    old_address,
    old_store,
    seen_path,
    side_folder,
    side_spool,
    subjects_of,
)
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, passes, progress, retry
from vecferry.transfer.brakes import Brakes, Counted, applied
from vecferry.transfer.conflict_files import digest_of, read_decisions, write_conflicts
from vecferry.transfer.conflicts import Choice, Decide, prefer, undecided
from vecferry.transfer.differences import Differences, Side, compare
from vecferry.transfer.intents import Seen
from vecferry.transfer.merge import MergeCounts
from vecferry.transfer.way_back import Merging, Outcome, delta_rows

__all__ = [
    "Weighed",
    "begin_return",
    "decide_conflicts",
    "spool_return",
    "weigh_return",
    "write_return",
]

_BRAKE = "brake of the way back"
_PHASE = "merge"
_DECIDED = "decided conflicts"
"""`{"digest": ...}`: of the conflicts that a file decided last."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a pass over both stores came to: records by what becomes of them, and where they are listed.

    `waiting` and `incomplete` are what the next pass must settle. `seconds` is how long reading both took.
    """

    counts: MergeCounts = field(default_factory=MergeCounts)
    waiting: int = 0
    incomplete: int = 0
    seconds: float = 0.0
    listed: dict[str, str] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """Records that the old store has to be given, or to lose."""
        return self.counts.new + self.counts.changed + self.counts.deleted


def begin_return(ref: Ref) -> list[int]:
    """Open both stores anew, see that they are the known collections, and cut slices; their numbers, the new first."""
    work = open_work(ref)
    require_direction(work, Direction.REVERSE)
    work.release()
    handles.release(old_address(work))
    found = work.ledger.begin_pass(ref.migration, Direction.REVERSE, ref.token)
    passes.remove(side_folder(work, found.number, NEW).parent)
    rows = 0
    for side, store in ((NEW, work.reader()), (OLD, old_store(work))):
        if side == NEW or not _is_untouched(work, store):
            spool = _begun(work, found, side, store)
            rows += spool.view.rows
    progress.begin(ref.migration, _PHASE, rows)
    failpoints.reached("return.begun")
    return list(range(len(_numbered(work, found))))


def _begun(work: Work, found: Pass, side: str, store: Source) -> passes.Spool:
    config, folder = work.config, side_folder(work, found.number, side)
    spool = passes.begin_spool(store, folder, config.slice_rows, config.workers, config.retry_budget_s)
    described = retry.call(config.retry_budget_s, store.describe)
    planned, fact = (work.target_schema, "target identity") if side == NEW else (work.plan.schema, "identity")
    known = "" if _is_copy(work, side) else _identity(work, fact)
    passes.require_same_collection(store.url, planned, described, known, spool.view.identity)
    return spool


def _identity(work: Work, fact: str) -> str:
    return str(next(iter((work.fact(fact) or {}).values()), ""))


def _is_copy(work: Work, side: str) -> bool:
    return side == OLD and str(old_address(work)) != str(work.config.source.public())


def _is_untouched(work: Work, store: Source) -> bool:
    """Whether the old store's files are as they were when they were planned, and nothing has been carried since."""
    if not work.plan.fingerprint or work.archive.manifest().deltas:
        return False
    return retry.call(work.config.retry_budget_s, store.fingerprint) == work.plan.fingerprint


def _numbered(work: Work, found: Pass) -> list[tuple[str, int]]:
    spools = [(side, side_spool(work, found.number, side)) for side in (NEW, OLD)]
    return [(side, part.number) for side, spool in spools if spool is not None for part in spool.view.slices]


def _last(work: Work) -> Pass:
    return work.ledger.passes(work.ref.migration, Direction.REVERSE)[-1]


def _store(work: Work, side: str) -> Source:
    return work.reader() if side == NEW else old_store(work)


def spool_return(ref: Ref, number: int) -> int:
    """Read one slice of either store and lay its ids and hashes aside. Returns its rows."""
    work = open_work(ref)
    found = _last(work)
    side, part = _numbered(work, found)[number]
    spool = side_spool(work, found.number, side)
    assert spool is not None, "its slice was numbered"
    rows = passes.spool_slice(_store(work, side), part, spool, work.limits(_PHASE)).rows
    failpoints.reached("return.slice_spooled")
    return rows


# Merging


def decide_conflicts(ref: Ref, settlement: Settlement) -> Decide:
    """Who wins conflicts: one side, or as a file says, which has to be about the conflicts of now.

    Those that a run with this very file settled before it died may be missing by now.
    """
    if settlement.prefer:
        return prefer(Choice.OLD if settlement.prefer == "old" else Choice.NEW)
    if settlement.conflicts is None or not settlement.conflicts.exists():
        return undecided
    work = open_work(ref)
    outcome = _compared(work)[2]
    for _ in merging_of(work, undecided).run(subjects_of(work, _last(work).number), outcome):
        pass
    conflicts = outcome.open_conflicts()
    if not len(conflicts):
        return undecided
    accepted = str((work.fact(_DECIDED) or {}).get("digest", ""))
    decisions = read_decisions(settlement.conflicts, conflicts, accepted)
    work.ledger.set_fact(ref.migration, _DECIDED, {"digest": digest_of(settlement.conflicts)}, ref.token)
    return decisions


def weigh_return(ref: Ref, decide: Decide) -> Weighed:
    """Compare, read again what differs, and merge, without writing to any store. Ends the pass."""
    work = open_work(ref)
    new, old, outcome = _compared(work)
    found = _last(work)
    for _ in merging_of(work, decide).run(subjects_of(work, found.number), outcome):
        pass
    return _ended(work, found, new, old, outcome)


def write_return(ref: Ref, decide: Decide, settlement: Settlement) -> Weighed:
    """The same, and what the old store has to be given is recorded as a delta: the intent of its writes.

    It takes the place of what a dead run left open. Raises UnsafeRoute, with nothing recorded, for an open conflict or
    where a brake holds.
    """
    work = open_work(ref)
    require_direction(work, Direction.REVERSE)
    new, old, outcome = _compared(work)
    found, left = _last(work), left_deltas(work)
    number = work.ledger.reserve_delta(ref.migration, Direction.REVERSE, ref.token)
    maker = _Maker(work, merging_of(work, decide), outcome)
    written = work.archive.write_delta(number, work.plan.schema.vectors, maker.rows(found))
    weighed = _ended(work, found, new, old, outcome)
    listed = _list_open(work, outcome, settlement)
    weighed = replace(weighed, listed={**weighed.listed, **listed})
    allowed = _braked(work, outcome, settlement, left)
    if outcome.losers:
        add_losers(work.archive.storage, number, work.plan.schema.vectors, outcome.losers)
    Seen.save(seen_path(work, number), maker.seen)
    failpoints.reached("return.written")
    if written.receipt.rows:
        digests = {"added": str(written.shift.added), "removed": str(written.shift.removed)}
        gone = written.tombstones
        counts = {**outcome.counts.numbers(), "rows": written.receipt.rows, "tombstones": gone, "gone": gone, **digests}
        note = {"pass": found.number, "token": ref.token, "allowed": allowed}
        work.ledger.record_delta(
            ref.migration, Direction.REVERSE, number, written.receipt, counts, ref.token, note=note
        )
    if left and not weighed.waiting and not weighed.incomplete:
        for delta in left:
            work.ledger.forget_delta(ref.migration, delta.number, ref.token)
        mark_left(work, ())
    return weighed


class _Maker:
    """Makes the rows of a delta while records are merged; `seen` is what the old store held of them."""

    def __init__(self, work: Work, merging: Merging, outcome: Outcome) -> None:
        self._work, self._merging, self._outcome, self._seq = work, merging, outcome, 0
        self.seen: list[npt.NDArray[np.uint8]] = []

    def rows(self, found: Pass) -> Iterator[DeltaRows]:
        subjects = subjects_of(self._work, found.number)
        for merged in self._merging.run(subjects, self._outcome):
            for rows in delta_rows(merged, self._work.plan.schema.vectors, self._seq):
                self._seq += len(rows)
                self.seen.append(Seen.row_hashes(rows.ids(), merged.old))
                yield rows


def _compared(work: Work) -> tuple[Differences, Differences | None, Outcome]:
    """What differs from what is known in the new store, and in the old one (None: its files are as they were)."""
    found = _last(work)
    new = _differences(work, found, NEW, Side.TARGET)
    old = None if side_spool(work, found.number, OLD) is None else _differences(work, found, OLD, Side.SOURCE)
    return new, old, Outcome()


def _differences(work: Work, found: Pass, side: str, known_side: Side) -> Differences:
    spool, store, config = side_spool(work, found.number, side), _store(work, side), work.config
    assert spool is not None, "the new store is always read, and the old one only asked for where it was"
    counted = passes.require_unmoved(store, spool.view, config.retry_budget_s)
    return compare(spool, known_state(work), counted, config.sync.memory_mb, known_side)


def _ended(work: Work, found: Pass, new: Differences, old: Differences | None, outcome: Outcome) -> Weighed:
    """The pass ends: the ledger keeps what it saw, and lists lie beside the reports."""
    both = [new] if old is None else [new, old]
    incomplete = sum(0 if one.complete else max(1, abs(one.counted - one.distinct)) for one in both)
    unsettled = outcome.written + outcome.waiting + incomplete
    digest = "/".join(one.digest for one in both)
    note = {**outcome.counts.numbers(), "rows": sum(one.rows for one in both), "waiting": outcome.waiting}
    ended = work.ledger.end_pass(work.ref.migration, found.number, unsettled, digest, work.ref.token, note=note)
    passes.remove(side_folder(work, found.number, NEW).parent)
    assert ended.ended_at is not None
    seconds = (ended.ended_at - ended.started_at).total_seconds()
    failpoints.reached("return.weighed")
    return Weighed(outcome.counts, outcome.waiting, incomplete, round(seconds, 3), _listed(work, outcome))


def _listed(work: Work, outcome: Outcome) -> dict[str, str]:
    """Files that name every record which is kept, set aside, or in conflict; whole records of what is set aside."""
    folder = work.archive_folder / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    named = {"kept": (outcome.kept, "what"), "aside": (outcome.aside, "reason")}
    found = {}
    for name, (batches, column) in named.items():
        path = folder / f"{work.ref.migration}.{name}.csv"
        path.unlink(missing_ok=True)
        if batches:
            _write_list(path, batches, column)
            found[name] = str(path)
    records = folder / f"{work.ref.migration}.aside.parquet"
    records.unlink(missing_ok=True)
    if outcome.aside_records:
        pq.write_table(pa.Table.from_batches(outcome.aside_records), records)
        found["aside records"] = str(records)
    return found


def _write_list(path: Path, batches: list[pa.RecordBatch], column: str) -> None:
    names = (columns.ID_KIND, columns.ID, column)
    rows = [[batch.column(name).cast(pa.string()) for name in names] for batch in batches]
    table = pa.Table.from_batches([pa.RecordBatch.from_arrays(arrays, names=list(names)) for arrays in rows])
    csv.write_csv(table, path)


def _list_open(work: Work, outcome: Outcome, settlement: Settlement) -> dict[str, str]:
    """Where conflicts are open, write the file in which they can be decided, and raise UnsafeRoute but for a sync."""
    conflicts = outcome.open_conflicts()
    if not len(conflicts):
        return {}
    own = f"{work.ref.migration}.conflicts-{conflicts.digest()}.jsonl"
    path = settlement.conflicts or work.archive_folder / "reports" / own
    write_conflicts(path, conflicts, work.ref.migration)
    if settlement.follows:
        return {"conflicts": str(path)}
    names = ", ".join(outcome.counts.examples.get("conflicts", ())[:5])
    command = f"vecferry {_verb(work, settlement)} {work.ref.migration}"
    raise UnsafeRoute(
        f"{conflicts.records():,} records were changed on both sides in different ways, for example {names}",
        advice=f"nothing was written. Decide each in {path}, then {command} --conflicts {path}; or let one side win: "
        f"{command} --prefer new (or old). The version that loses is kept in the archive",
    )


def _braked(work: Work, outcome: Outcome, settlement: Settlement, left: Sequence[Delta]) -> bool:
    """Whether a person let more through than the brakes do. Raises UnsafeRoute where one holds.

    What was let through for a delta that a dead run left open is not asked for again.
    """
    shown = {"deletes": str(outcome.deletes), "changes": str(outcome.changes)}
    now = Counted(outcome.counts.deleted, outcome.counts.changed)
    if any(now.deletes <= one.counts["deleted"] and now.changes <= one.counts["changed"] for one in _let_through(left)):
        return True
    rows, since = work.archive.manifest().current.count, _since_yes(work, left)
    allowance = settlement.release.bound_to(work.fact(_BRAKE) or {})
    try:
        return applied(_brakes(work.config), rows, since, now, shown, allowance, work.ref.migration)
    except UnsafeRoute as error:
        work.ledger.set_fact(work.ref.migration, _BRAKE, shown, work.ref.token)
        error.advice = error.advice.replace("look at the source", "look at the new store")
        error.advice = error.advice.replace("vecferry sync", f"vecferry {_verb(work, settlement)}")
        raise


def _verb(work: Work, settlement: Settlement) -> str:
    if settlement.follows:
        return "sync"
    return "merge" if work.migration.state is State.ROLLED_BACK_UNMERGED else "rollback"


def _brakes(config: MigrationConfig) -> Brakes:
    sync = config.sync
    return Brakes(sync.max_deletes, sync.max_delete_percent, sync.max_changes, sync.max_change_percent)


def _let_through(left: Sequence[Delta]) -> list[Delta]:
    return [delta for delta in left if delta.note.get("allowed")]


def _since_yes(work: Work, left: Sequence[Delta]) -> list[Counted]:
    """What reverse deltas did since a person said yes last, but for those that are merged anew.

    To a switch, to a rollback, or to what a brake had held: so a rollback does not count what syncs carried before it.
    """
    since, found = last_yes(work), list[Counted]()
    for delta in work.ledger.deltas(work.ref.migration, Direction.REVERSE):
        if delta in left or (since is not None and delta.recorded_at <= since):
            continue
        count = Counted(delta.counts["deleted"], delta.counts["changed"])
        found = [] if delta.note.get("allowed") else [*found, count]
    return found
