"""Phase 5: compare every row with what another reader reads back, and give the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, plain, sealing
from vecferry.align import Aligned, align
from vecferry.archive import HashRows, Overlay
from vecferry.errors import DataDiffer
from vecferry.idtable import IdTable
from vecferry.ledger import State
from vecferry.model import Verdict, VerdictState
from vecferry.strategies.catching_up import known_state
from vecferry.strategies.runner import Ref
from vecferry.strategies.strangers import listed_ids
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import halt, progress, retry
from vecferry.validation.compare import Comparison, compare_aligned, total
from vecferry.validation.ids import compare_counts, compare_ids
from vecferry.validation.report import judge
from vecferry.validation.schema import compare_schema

__all__ = ["CARRIED", "begin_validation", "conclude", "require_same", "validate_slice"]

CARRIED = "carried"
"""How many deltas a verdict covers; written into its fact."""


def begin_validation(ref: Ref) -> None:
    """Nothing more is carried over before the verdict: state VERIFYING."""
    open_work(ref).move(State.CATCHING_UP, State.VERIFYING, event="target is whole")


def validate_slice(ref: Ref, number: int) -> None:
    """Fetch each record of a part from the target and compare it with what the plan says it must be.

    What was read back is hashed and kept in the archive, beside the hashes of the source.
    """
    work = open_work(ref)
    row = work.slice(number)
    if row.verified is not None and plain.from_plain(Comparison, row.verified["compared"]).same:
        return
    comparer = _Comparer(work)
    receipt = work.archive.write_hashes(number, comparer.compare_part(number))
    result = {"compared": plain.to_plain(comparer.total), "hashes": plain.to_plain(receipt)}
    work.ledger.record_verified(ref.migration, number, result, ref.token)
    failpoints.reached("validate.slice_recorded")


class _Comparer:
    """Compares batch by batch, gives the hashes of what it read, and keeps the counts."""

    def __init__(self, work: Work) -> None:
        self._work, self._reader, self._mapping = work, work.reader(), work.plan.mapping
        self._overlay = work.archive.overlay()
        self.total = Comparison()

    def compare_part(self, number: int) -> Iterator[HashRows]:
        """Compare a part's records; yields ids and hashes for the archive.

        Records that a delta changed since were compared when that was read back.
        """
        advance = partial(progress.advance, self._work.ref.migration, "validate")
        with progress.provisional(advance) as compared:
            for sealed in self._work.archive.read_part(number, self._work.config.batch_rows):
                yield self._compare(_not_superseded(self._overlay, sealed))
                compared(sealed.num_rows)

    def _compare(self, sealed: pa.RecordBatch) -> HashRows:
        halt.check(self._work.ref.ledger, self._work.ref.token)
        sealed = self._mapping.travelling(sealed)
        expected = self._mapping.expected(columns.drop_hashes(sealed))
        ids = columns.ids_of(expected)
        actual = retry.call(self._work.config.retry_budget_s, partial(self._reader.fetch, ids))
        fields, tolerances = self._mapping.target_schema.vectors, self._mapping.tolerances
        rows = align(expected, actual)
        self.total += compare_aligned(rows, fields, tolerances)
        return HashRows(sealed, ids, columns.stored_hashes(sealed), _hashes_of(rows), rows.found)


def _not_superseded(overlay: Overlay, sealed: pa.RecordBatch) -> pa.RecordBatch:
    return sealed.filter(pa.array(overlay.absent(sealing.hash_ids(sealed)))) if len(overlay) else sealed


def _hashes_of(rows: Aligned) -> npt.NDArray[np.uint8]:
    """Part hashes of what was read back, `(n, 48) uint8` in the order expected; zeros where it is absent."""
    hashes = np.zeros((len(rows.found), columns.HASHES_BYTES), dtype=np.uint8)
    hashes[rows.found] = sealing.hash_parts(rows.actual)
    return hashes


def conclude(ref: Ref) -> Verdict:
    """Schema, counts and the full id set on top of the compared rows: the verdict. Same: state READY."""
    work = open_work(ref)
    known = work.fact("verdict")
    if known is not None and known["state"] == VerdictState.SAME:
        verdict = plain.from_plain(Verdict, known)
    else:
        verdict = _judge(work)
        if verdict.state is VerdictState.SAME:
            work.commit_manifest(verified=True)
        current = work.archive.manifest()
        fact = {**plain.to_plain(verdict), "known_state": str(current.current), CARRIED: len(current.deltas)}
        work.ledger.set_fact(ref.migration, "verdict", fact, ref.token)
    failpoints.reached("validate.concluded")
    if verdict.state is VerdictState.SAME:
        work.move(
            State.VERIFYING, State.READY, event="verified", detail={"digest": str(work.archive.manifest().digest)}
        )
    work.release()
    return verdict


def require_same(target_url: str, verdict: Verdict) -> None:
    """Raise DataDiffer unless the verdict is "same"."""
    if verdict.state is VerdictState.SAME:
        return
    bad = ", ".join(f"{item.level} ({item.differences:,})" for item in verdict.levels if item.differences)
    raise DataDiffer(
        f"{target_url} differs from the archive: {bad}",
        advice="the verdict lists the records; nothing was switched",
    )


def _judge(work: Work) -> Verdict:
    """The verdict on what is known now: parts, and the deltas that were loaded and read back since."""
    reader = work.reader()
    rows = total(plain.from_plain(Comparison, row.verified["compared"]) for row in work.slices() if row.verified)
    # The plan counted before the copy, and the application may have written in between.
    left_behind = sum(row.copied.rows for row in work.slices() if row.copied) - rows.rows
    if work.archive.manifest().deltas:
        held = known_state(work).held()
        rows = replace(rows, rows=held.target_rows + rows.missing)
        left_behind = held.source_rows - rows.rows
    schema = compare_schema(work.plan.mapping.target_schema, reader.describe(), rows=rows.rows)
    expected = IdTable(work.archive.target_id_hashes())
    listed = listed_ids(work, reader, expected)
    counts = compare_counts(rows.rows, listed.count)
    extra, examples = compare_ids(expected, listed.ids)
    return judge(schema, counts, examples, extra, rows, left_behind)
