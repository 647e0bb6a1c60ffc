"""Records of the new store in the source's terms, each under the id that it stands for, whatever one row holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.errors import BadRecord
from vecferry.idtable import IdSet, IdTable
from vecferry.mapping import Mapping
from vecferry.transfer.merge.comparing import Mask, Rows, bisected, kind_column
from vecferry.transfer.merge.inputs import Known

__all__ = ["Returned", "bring_back"]

_TEXTS = (columns.ID, columns.ID_KIND, columns.DOCUMENT, columns.PAYLOAD)


@dataclass(frozen=True, slots=True)
class Returned:
    """The new store's `m` records. `raw` as stored; `records` with the old store's columns, in the source's terms.

    `refused`: why a row has no such form, null where it has; its vectors are null in `records`. `surplus`, `(m,)
    bool`: rows that stand for the id of another row, which is in `twins`, `(m,) bool`.
    """

    raw: pa.RecordBatch
    records: pa.RecordBatch
    refused: pa.StringArray
    surplus: Mask
    twins: Mask


def bring_back(raw: pa.RecordBatch, known: Known, mapping: Mapping, schema: pa.Schema) -> Returned:
    """Undo the mapping row by row; a recorded link wins over the id that the mapping gives.

    `schema` is that of the old store's batches; vectors that stayed behind become null. Raises ValueError for a
    vector that comes back with another type than the old store's.
    """
    raw = columns.drop_hashes(raw)
    rows, reasons = [], []
    for piece, error in bisected(raw, mapping.backward):
        decoded = piece if error is None else mapping.backward(piece.select(_texts_of(piece)))
        rows.append(_with_columns(decoded, schema))
        reasons += [_in_words(error)] * piece.num_rows
    records = pa.concat_batches(rows) if rows else pa.RecordBatch.from_pylist([], schema=schema)
    linked = _links(raw, known)
    records = _relinked(records, known, linked)
    return Returned(raw, records, pa.array(reasons, pa.string()), *_twins(raw, records, linked, mapping))


def _texts_of(batch: pa.RecordBatch) -> list[str]:
    return [name for name in _TEXTS if name in batch.schema.names]


def _in_words(error: BadRecord | None) -> str | None:
    return None if error is None else str(error)


def _with_columns(decoded: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        there = field.name in decoded.schema.names
        array = decoded.column(field.name) if there else pa.nulls(decoded.num_rows, field.type)
        if array.type != field.type:
            raise ValueError(f"{field.name} comes back as {array.type}, the old store has {field.type}")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _links(raw: pa.RecordBatch, known: Known) -> Rows:
    """For each raw row the known row whose recorded link it is, -1 where there is none."""
    recorded = np.flatnonzero(known.new_ids.column(columns.ID).is_valid().to_numpy(zero_copy_only=False))
    found = IdTable([sealing.hash_ids(known.new_ids.take(pa.array(recorded)))]).find(sealing.hash_ids(raw))
    return np.where(found >= 0, recorded[found] if len(recorded) else found, -1)


def _relinked(records: pa.RecordBatch, known: Known, linked: Rows) -> pa.RecordBatch:
    """The records under the ids that the links say."""
    if not (linked >= 0).any():
        return records
    at = pa.array(np.where(linked >= 0, linked + len(linked), np.arange(len(linked))))
    ids, kinds = (
        pa.concat_arrays([batch.column(name).cast(pa.string()) for batch in (records, known.ids)]).take(at)
        for name in (columns.ID, columns.ID_KIND)
    )
    arrays = {columns.ID: ids, columns.ID_KIND: kind_column(kinds)}
    return pa.RecordBatch.from_arrays(
        [arrays.get(name, records.column(name)) for name in records.schema.names], schema=records.schema
    )


def _twins(raw: pa.RecordBatch, records: pa.RecordBatch, linked: Rows, mapping: Mapping) -> tuple[Mask, Mask]:
    """Rows beyond the first that stand for one id, and the rows that they meet.

    The one with the recorded link stays, else the one whose id the mapping gives, else the first.
    """
    rows = np.arange(raw.num_rows)
    none = np.zeros(len(rows), dtype=np.bool_)
    hashes = sealing.hash_ids(records)
    if not IdSet().add(hashes).any():
        return none, none
    given = sealing.hash_ids(mapping.forward(columns.ids_of(records)))
    proper = (given == sealing.hash_ids(raw)).all(axis=1)
    order = np.lexsort((rows, ~proper, linked < 0))
    first = order[IdTable([hashes[order]]).find(hashes)]
    surplus = first != rows
    twins = none.copy()
    twins[first[surplus]] = True
    return surplus, twins
