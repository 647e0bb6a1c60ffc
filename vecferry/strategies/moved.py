"""Records that changed their workspace while one of the two was served by the other store.

An application that writes each workspace where its route leads takes such a record from one store to the other. One
that changes it in place leaves it where the readers of its new workspace do not look: it is listed (`hold`), or carried
to the store that they read (`follow`), where only one of its two versions was changed since both were known to agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.align import align
from vecferry.archive.hash_rows import TARGET_HASH
from vecferry.conditions import from_plain, matches
from vecferry.idtable import IdTable
from vecferry.ledger import Direction, Workspace
from vecferry.model import JsonObject, Part
from vecferry.strategies.catching_up import commit_deltas, same_of
from vecferry.strategies.runner import Ref
from vecferry.strategies.scope import whole_of
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import retry
from vecferry.transfer.delta_making import Making, make_delta
from vecferry.transfer.deltas import load_delta, read_back_delta, require_untouched
from vecferry.transfer.differences import CANDIDATES_SCHEMA, CHANGE, Change, read_candidates
from vecferry.transfer.known import LIVE
from vecferry.transfer.limits import Limits
from vecferry.transfer.passes import Spool
from vecferry.transfer.ways import Forward

__all__ = [
    "ASIDE",
    "BROUGHT",
    "DIFFERING",
    "MOVED_FACT",
    "Found",
    "finish_open",
    "keep_moved",
    "look_for_moved",
    "moved_words",
]

MOVED_FACT = "moved across the stores"
"""How many records of each kind, and `{"listed": FILE}`.

From the old store to the new one, of all passes so far: `held`, `followed`, `conflicts`. From the new one to the old
one: `brought`, of all syncs so far; `differing` and `aside`, of the last one.
"""

HELD, FOLLOWED, CONFLICTS = "held", "followed", "conflicts"
BROUGHT, DIFFERING, ASIDE = "brought", "differing", "aside"
_SAID = {
    HELD: "left its workspace for one that the new store serves, and stands in the old store",
    FOLLOWED: "left its workspace, and was carried to the new store",
    CONFLICTS: "left its workspace, and both stores changed it",
    BROUGHT: "came to this workspace in the new store, and was carried to the old one",
    DIFFERING: "came to this workspace in the new store, and the old one has another version of it",
    ASIDE: "came to this workspace in the new store, and the old one cannot hold it",
}

_BEFORE_REASON = ": "
_LIST = pa.schema([pa.field(name, pa.string()) for name in ("id_kind", "id", "workspace", "what")])
_PAYLOADS = frozenset({Part.PAYLOAD})
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Found:
    """What became of records that moved, row by row for the list."""

    rows: list[pa.RecordBatch] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SAID, 0))

    def add(self, ids: pa.RecordBatch, workspace: str, what: str, reasons: pa.StringArray | None = None) -> None:
        """Some records that now belong to `workspace`; `reasons` say of each more than `what`."""
        if not ids.num_rows:
            return
        self.counts[what] += ids.num_rows
        texts = [pa.array([text] * ids.num_rows, pa.string()) for text in (workspace, what)]
        if reasons is not None:
            texts[1] = pc.binary_join_element_wise(texts[1], reasons, _BEFORE_REASON)
        kinds = ids.column(columns.ID_KIND).cast(pa.string())
        self.rows.append(pa.RecordBatch.from_arrays([kinds, ids.column(columns.ID), *texts], schema=_LIST))


def look_for_moved(work: Work, spool: Spool) -> None:
    """Of what the last pass saw come, change or go: what stands in the old store for a workspace that the new serves.

    A record that the pass saw in this workspace has moved on since. One that was made and moved between two passes was
    seen by nobody here: it looks like a late write of an application that did not follow the switch, and is left to
    the looks at the old store that find those.
    """
    if work.scope is None or not work.scope.served:
        return
    whole, budget_s, found = whole_of(work.source()), work.config.retry_budget_s, Found()
    for batch in read_candidates(spool, work.config.batch_rows):
        payloads = retry.call(budget_s, partial(whole.fetch, columns.ids_of(batch), _PAYLOADS))
        for served in work.scope.served:
            condition = from_plain(served.condition)
            moved = payloads.filter(pa.array(matches(condition, payloads)))
            if not moved.num_rows:
                continue
            there = retry.call(budget_s, partial(whole.fetch, columns.ids_of(moved)))
            mine = there.filter(pa.array(matches(condition, there)))
            if mine.num_rows:
                _settle(work, served, batch, mine, found)
    keep_moved(work, found)


def _settle(work: Work, served: Workspace, seen: pa.RecordBatch, records: pa.RecordBatch, found: Found) -> None:
    ids = columns.ids_of(records)
    if work.rolling.moved == "hold":
        found.add(ids, served.key, HELD)
        return
    candidates = seen.take(pa.array(IdTable([sealing.hash_ids(seen)]).find(sealing.hash_ids(ids))))
    untouched = _untouched(work, candidates, records)
    found.add(columns.ids_of(candidates.filter(pa.array(~untouched))), served.key, CONFLICTS)
    followed = candidates.filter(pa.array(untouched))
    if followed.num_rows:
        goal = open_work(Ref(work.ref.ledger, served.child))
        _carry(goal, followed, replace(goal.limits("delta"), check=work.check))
        found.add(columns.ids_of(followed), served.key, FOLLOWED)


def _untouched(work: Work, candidates: pa.RecordBatch, records: pa.RecordBatch) -> Mask:
    """`(n,) bool`: whose version in the new store is the known one, the wanted one, or not there (any more).

    `candidates` are what is known of the same records, in their order.
    """
    mapping, reader = work.plan.mapping, whole_of(work.reader())
    expected = mapping.expected(records)
    asked = columns.ids_of(expected)
    there = align(expected, retry.call(work.config.retry_budget_s, partial(reader.fetch, asked)))
    fine = ~there.found
    known = candidates.column(TARGET_HASH).filter(pa.array(there.found))
    now = sealing.hash_parts(there.actual)
    equal = np.zeros(len(now), dtype=np.bool_)
    valid = known.is_valid().to_numpy(zero_copy_only=False)
    equal[valid] = (columns.fixed_binary(known.drop_null()) == now[valid]).all(axis=1)
    equal |= same_of(Forward(mapping))(there.expected, there.actual).all(axis=1)
    fine[there.found] = equal
    return fine


def _carry(goal: Work, candidates: pa.RecordBatch, limits: Limits) -> None:
    """Write these records, as the old store has them, into the new one: a delta of the workspace that has them now."""
    finish_open(goal, limits)
    name, ledger = goal.ref.migration, goal.ledger
    number = ledger.reserve_delta(name, Direction.FORWARD)
    target = goal.target()
    making = Making(goal.plan.mapping, goal.plan.schema.vectors, target.url, target.capabilities().vectors.nonfinite)
    written, made = make_delta(goal.source(), [_as_new(candidates)], goal.archive, number, making, limits)
    if not made.rows:
        return
    digests = {"added": str(written.shift.added), "removed": str(written.shift.removed)}
    counts: JsonObject = {"gone": 0, "changed": made.changed, "new": made.new, "rows": written.receipt.rows, **digests}
    ledger.record_delta(name, Direction.FORWARD, number, written.receipt, counts, note={"moved": True})
    failpoints.reached("moved.recorded")
    finish_open(goal, limits)


def finish_open(goal: Work, limits: Limits) -> None:
    """Write and read back what is recorded for a served workspace, also by a run that died; over no other write."""
    name, ledger, way = goal.ref.migration, goal.ledger, Forward(goal.plan.mapping)
    budget_s, reader = goal.config.retry_budget_s, goal.reader()
    for delta in ledger.deltas(name, Direction.FORWARD, open_only=True):
        untouched = partial(require_untouched, whole_of(reader), way, same_of(way), budget_s)
        load_delta(goal.archive, delta.number, way, goal.target(), limits, untouched)
        ledger.record_delta_loaded(name, delta.number)
        failpoints.reached("moved.loaded")
        hashes = read_back_delta(goal.archive, delta.number, way, reader, same_of(way), limits)
        ledger.close_delta(name, delta.number, hashes)
    commit_deltas(goal)


def _as_new(candidates: pa.RecordBatch) -> pa.RecordBatch:
    """The same ids as candidates of a migration that knows nothing of them but where they are in the target."""
    rows = candidates.num_rows
    changes = {CHANGE: pa.array([Change.NEW.value] * rows), LIVE: pa.array([False] * rows)}
    arrays = [changes.get(name, candidates.column(name)) for name in CANDIDATES_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=CANDIDATES_SCHEMA)


def keep_moved(work: Work, found: Found, anew: Collection[str] = ()) -> None:
    """Add to the list beside the reports, and to what the ledger knows; of the kinds `anew` only this is kept."""
    known = work.fact(MOVED_FACT) or {}
    before = {name: 0 if name in anew else int(known.get(name, 0)) for name in found.counts}
    if not found.rows and not any(known.get(name) for name in anew):
        return
    path = work.archive_folder / "reports" / f"{work.ref.migration}.moved.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [*_listed(path, anew), *found.rows]
    csv.write_csv(pa.Table.from_batches(rows, schema=_LIST), path)
    counts = {name: before[name] + count for name, count in found.counts.items()}
    work.ledger.set_fact(work.ref.migration, MOVED_FACT, {**counts, "listed": str(path)}, work.ref.token or None)


def _listed(path: Path, anew: Collection[str]) -> Iterator[pa.RecordBatch]:
    """What was listed before, but for some kinds."""
    if not path.exists():
        return
    types = csv.ConvertOptions(column_types=dict(zip(_LIST.names, _LIST.types, strict=True)))
    for batch in csv.read_csv(path, convert_options=types).cast(_LIST).to_batches():
        kinds = pc.list_element(pc.split_pattern(batch.column("what"), _BEFORE_REASON), 0)
        yield batch.filter(pc.invert(pc.is_in(kinds, value_set=pa.array(list(anew), pa.string()))))


def moved_words(known: JsonObject | None) -> str:
    """What a person is told of it in a table; `""` where nothing moved."""
    if known is None:
        return ""
    told = [f"{known[name]:,} {words}" for name, words in _SAID.items() if known.get(name)]
    return "; ".join(told) + (f": {known['listed']}" if told else "")
