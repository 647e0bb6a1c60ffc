"""What a way back is about: every record that a pass saw differ in either store, once, in the source's terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive.hash_rows import TARGET_ID, TARGET_ID_KIND
from vecferry.contract import Source
from vecferry.idtable import IdTable
from vecferry.mapping import Mapping
from vecferry.model import Part
from vecferry.transfer import retry
from vecferry.transfer.differences import CHANGE, Change
from vecferry.transfer.known import KNOWN_SCHEMA, KnownState

__all__ = ["Group", "Subjects", "gather"]

TEXTS = frozenset({Part.PAYLOAD, Part.DOCUMENT})
"""What the id of a record of the new store may stand in."""

_GONE = "gone"
_SCHEMA = pa.schema([*(one.with_nullable(True) for one in KNOWN_SCHEMA), pa.field(_GONE, pa.bool_())])
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """Some records. `known` has the columns of `KNOWN_SCHEMA`, null where nothing is known of an id.

    `gone`, `(n,) bool`: a pass did not find it in a store where it was known. `natives` are ids in the new store of
    records that nobody knew, and that stand for one of these.
    """

    known: pa.RecordBatch
    gone: Mask
    natives: pa.RecordBatch


class Subjects:
    """All of them. Memory: what is known of each, about 300 bytes a record that differs."""

    def __init__(self, known: pa.RecordBatch, natives: pa.RecordBatch, at: Rows) -> None:
        """`at` says for each native id the row of `known` that it stands for."""
        order = np.argsort(at, kind="stable")
        self._known, self._natives, self._at = known, natives.take(pa.array(order)), at[order]

    def __len__(self) -> int:
        return int(self._known.num_rows)

    def groups(self, rows: int) -> Iterator[Group]:
        """All, so many at a time."""
        for start in range(0, len(self), rows):
            known = self._known.slice(start, rows)
            first, last = np.searchsorted(self._at, [start, start + known.num_rows])
            gone: Mask = known.column(_GONE).to_numpy(zero_copy_only=False)
            yield Group(known.drop_columns([_GONE]), gone, self._natives.slice(first, last - first))


def gather(
    of_old: Iterable[pa.RecordBatch],
    of_new: Iterable[pa.RecordBatch],
    new: Source,
    mapping: Mapping,
    known: KnownState,
    retry_budget_s: float,
) -> Subjects:
    """Bring the candidates of both stores' passes together; a record that is new in the new store is asked for its id.

    Reads the whole known state once more where there are such.
    """
    found, natives, stand_for = [], [columns.ids_batch([])], [columns.ids_batch([])]
    for batch in of_old:
        found.append(_rows(batch))
    for batch in of_new:
        is_known = batch.column(columns.ID).is_valid()
        found.append(_rows(batch.filter(is_known)))
        strange = _target_ids(batch.filter(pc.invert(is_known)))
        if strange.num_rows:
            records = retry.call(retry_budget_s, partial(new.fetch, strange, TEXTS))
            natives.append(_plain(columns.ids_of(records)))
            stand_for.append(_plain(columns.ids_of(mapping.backward(records))))
    ids = pa.concat_batches(stand_for)
    if ids.num_rows:
        found += [_rows(known.find(ids)), _unknown(ids)]
    rows = _distinct(pa.concat_batches(found) if found else pa.RecordBatch.from_pylist([], schema=_SCHEMA))
    return Subjects(rows, pa.concat_batches(natives), IdTable([sealing.hash_ids(rows)]).find(sealing.hash_ids(ids)))


def _rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    gone = pa.array(np.zeros(batch.num_rows, dtype=np.bool_))
    if CHANGE in batch.schema.names:
        gone = pc.equal(batch.column(CHANGE), Change.GONE.value)
    arrays = [batch.column(name).cast(_SCHEMA.field(name).type) for name in KNOWN_SCHEMA.names]
    return pa.RecordBatch.from_arrays([*arrays, gone], schema=_SCHEMA)


def _unknown(ids: pa.RecordBatch) -> pa.RecordBatch:
    rest = [pa.nulls(ids.num_rows, one.type) for one in list(_SCHEMA)[2:-1]]
    gone = pa.array(np.zeros(ids.num_rows, dtype=np.bool_))
    return pa.RecordBatch.from_arrays([*_plain(ids).columns, *rest, gone], schema=_SCHEMA)


def _distinct(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Each id once; what is known of it comes before the row that only names it. Gone in any store is gone."""
    if not rows.num_rows:
        return rows
    hashes = sealing.hash_ids(rows)
    first = IdTable([hashes]).find(hashes)
    gone = np.zeros(rows.num_rows, dtype=np.bool_)
    np.logical_or.at(gone, first, rows.column(_GONE).to_numpy(zero_copy_only=False))
    at = np.unique(first)
    kept = rows.take(pa.array(at))
    return kept.set_column(kept.schema.get_field_index(_GONE), _SCHEMA.field(_GONE), pa.array(gone[at]))


def _target_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [batch.column(TARGET_ID), batch.column(TARGET_ID_KIND)]
    return _plain(pa.RecordBatch.from_arrays(arrays, names=[columns.ID, columns.ID_KIND]))


def _plain(ids: pa.RecordBatch) -> pa.RecordBatch:
    """Ids with the columns that every batch of ids has."""
    return ids.cast(columns.ids_batch([]).schema)
