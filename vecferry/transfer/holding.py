"""What the old store cannot hold of records that were written natively to the new one: in words, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import canonical
from vecferry.capabilities import Capabilities
from vecferry.mapping.draft import Draft
from vecferry.mapping.payload import PayloadCodec
from vecferry.mapping.sizes import SizeLimits
from vecferry.model import CollectionSchema, DType, IdKind

__all__ = ["reasons_not_held"]

_ASIDE = "vecferry_not_held"
_MAX_KEYS_NAMED = 5

Mask = npt.NDArray[np.bool_]
Problems = Iterator[tuple[int, str]]


def reasons_not_held(schema: CollectionSchema, claimed: Capabilities) -> Callable[[pa.RecordBatch], pa.StringArray]:
    """A judge of whole records for a collection: why the store cannot hold each, null where it can.

    It asks what the plan of a migration asks of a target: kinds and sizes of ids, missing and non-finite vectors,
    documents, payload values, keys and sizes. What the engine rounds it holds.
    """
    kinds = schema.id_kinds if claimed.one_id_kind and schema.id_kinds else claimed.id_kinds
    return partial(_reasons, claimed, kinds)


def _reasons(claimed: Capabilities, kinds: frozenset[IdKind], records: pa.RecordBatch) -> pa.StringArray:
    found: list[str | None] = [None] * records.num_rows
    if records.num_rows:
        checks = (_ids(records, claimed, kinds), _vectors(records, claimed), _texts(records, claimed))
        for problems in checks:
            for row, reason in problems:
                found[row] = found[row] or reason
    return pa.array(found, pa.string())


def _ids(records: pa.RecordBatch, claimed: Capabilities, kinds: frozenset[IdKind]) -> Problems:
    names = records.column(columns.ID_KIND).cast(pa.string())
    odd = pc.invert(pc.is_in(names, value_set=pa.array(sorted(kinds), pa.string())))
    for row in _rows(odd):
        yield row, f"it has no ids of the kind {names[row].as_py()}"
    texts = columns.id_texts(records)
    if not claimed.empty_id:
        for row in _rows(pc.equal(texts, "")):
            yield row, "it takes no empty id"
    if claimed.max_number_id is not None:
        numbers = _rows(pc.equal(names, IdKind.UINT64.value))
        for row in numbers:
            if int(texts[row].as_py()) > claimed.max_number_id:
                yield row, f"its greatest number for an id is {claimed.max_number_id}"


def _vectors(records: pa.RecordBatch, claimed: Capabilities) -> Problems:
    for field in columns.fields_of(records.schema):
        name = f"vector {field.name!r}" if field.name else "vector"
        if not claimed.vectors.missing:
            for row in _rows(records.column(columns.column_name(field.name)).is_null()):
                yield row, f"the {name} is missing, and it holds no record without one"
        if not claimed.vectors.nonfinite and field.dtype not in (DType.UINT8, DType.INT8):
            yield from _nonfinite(records.select([columns.column_name(field.name)]), name)


def _nonfinite(vectors: pa.RecordBatch, name: str) -> Problems:
    """Rows with NaN or infinity. There are few, if any: each further search starts behind the last."""
    start = 0
    while (found := columns.nonfinite_row(vectors.slice(start))) is not None:
        start += found[1] + 1
        yield start - 1, f"the {name} holds NaN or infinity"


def _texts(records: pa.RecordBatch, claimed: Capabilities) -> Problems:
    if not claimed.document:
        for row in _rows(records.column(columns.DOCUMENT).is_valid()):
            yield row, "it has no documents"
    yield from _payloads(records, claimed)
    for row, reason in SizeLimits.of(claimed, drop=True).problems(records):
        yield row, f"the record {reason}"


def _payloads(records: pa.RecordBatch, claimed: Capabilities) -> Problems:
    """Rows of which a mapping to this store would put something aside."""
    draft = Draft(records)
    PayloadCodec(claimed.payload, _ASIDE, frozenset({_ASIDE}), drops_null=True).encode(draft)
    payloads = draft.finish().column(columns.PAYLOAD)
    for row in _rows(pc.not_equal(payloads, records.column(columns.PAYLOAD))):
        aside = canonical.decode(payloads[row].as_py()).get(_ASIDE)
        keys = sorted(canonical.decode(aside), key=repr)[:_MAX_KEYS_NAMED] if aside is not None else []
        yield row, f"it cannot hold the payload under {', '.join(map(repr, keys))}" if keys else "it keeps no null"


def _rows(mask: pa.BooleanArray) -> list[int]:
    rows: list[int] = np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()
    return rows
