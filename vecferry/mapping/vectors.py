"""Vectors: which ones travel, under which name and number type, and how near to the original they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import plain
from vecferry.errors import BadRecord
from vecferry.mapping.casts import NotHeld, cast
from vecferry.mapping.draft import Draft
from vecferry.model import DType, VectorField, VectorKind

__all__ = ["EXACT", "INTEGERS", "NEAR", "NEAR_FLOAT16", "Tolerance", "VectorCodec", "VectorStep"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a number that comes back may be off: max(relative * |expected|, absolute). Zero: bit for bit.

    `direction`: the target keeps unit vectors, so expected ones are normalised before they are compared.
    """

    relative: float = 0.0
    absolute: float = 0.0
    direction: bool = False


EXACT = Tolerance()
NEAR = Tolerance(4e-6, 1e-7)
"""For float32 vectors that a store normalises or rebuilds from a unit vector and a norm: a few roundings."""
NEAR_FLOAT16 = Tolerance(4.9e-4, 6e-8)
"""The same for float16: half a unit in the last place, and half the smallest number."""


@dataclass(frozen=True, slots=True)
class VectorStep:
    """One vector's way: what it is in the source, and in the target (None: it stays behind).

    `rounds`: rounding to the target's number type was agreed to.
    """

    source: VectorField
    target: VectorField | None
    tolerance: Tolerance = EXACT
    rounds: bool = False


@dataclass(frozen=True, slots=True)
class VectorCodec:
    """All vectors of a collection. `missing`: the target holds records without a vector; `drop`: they stay behind."""

    steps: tuple[VectorStep, ...]
    missing: bool = True
    drop: bool = False

    def moved(self) -> list[tuple[VectorField, VectorField, VectorStep]]:
        """Source field, target field and step of each vector that travels."""
        return [(step.source, step.target, step) for step in self.steps if step.target is not None]

    def left_behind(self, batch: pa.RecordBatch) -> Mask:
        """`(n,) bool`: records of a source batch that stay behind because they lack a vector.

        All false where vectors were not read. Raises BadRecord, naming the id, if nobody agreed to that.
        """
        lacking = np.zeros(batch.num_rows, dtype=np.bool_)
        if self.missing:
            return lacking
        for source, _, _ in self.moved():
            name = columns.column_name(source.name)
            if name in batch.schema.names and batch.column(name).null_count:
                lacking |= batch.column(name).is_null().to_numpy(zero_copy_only=False)
        if lacking.any() and not self.drop:
            record_id = columns.record_ids(batch.slice(int(np.argmax(lacking)), 1))[0]
            raise BadRecord(
                f"record {record_id} lacks a vector, and the target cannot hold a record without one",
                advice="repair the record, or leave such records behind: --consent missing_vectors",
            )
        return lacking

    def encode(self, draft: Draft) -> None:
        """Source columns become target columns."""
        self._replace(draft, [(source, target, step.rounds) for source, target, step in self.moved()])

    def decode(self, draft: Draft) -> None:
        """Target columns become source columns. Floats may be rounded back, integers must come back exactly."""
        steps = [(target, source, source.dtype not in INTEGERS) for source, target, _ in self.moved()]
        self._replace(draft, steps)

    def _replace(self, draft: Draft, steps: list[tuple[VectorField, VectorField, bool]]) -> None:
        old = {name: draft.columns.pop(name) for name in list(draft.columns) if _is_vector(name)}
        for before, after, rounds in steps:
            column = old.get(columns.column_name(before.name))
            if column is not None:
                new = column if before.dtype is after.dtype else _recast(draft, column, before, after.dtype, rounds)
                draft.columns[columns.column_name(after.name)] = new

    def tolerances(self) -> dict[str, Tolerance]:
        """By the vector's name in the target."""
        return {target.name: step.tolerance for _, target, step in self.moved()}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads."""
        found: dict[str, Any] = plain.to_plain(self)
        return found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> VectorCodec:
        """The codec that `to_json` wrote."""
        return plain.from_plain(cls, data)


INTEGERS = frozenset({DType.UINT8, DType.INT8})


def _is_vector(name: str) -> bool:
    return bool(columns.vector_names(pa.schema([pa.field(name, pa.null())])))


def _recast(draft: Draft, column: pa.Array, field: VectorField, dtype: DType, rounds: bool) -> pa.Array:
    """A vector column with numbers of another type. Raises BadRecord, naming the id."""
    name = columns.column_name("")
    batch = pa.RecordBatch.from_arrays([column], names=[name])
    try:
        if field.kind is VectorKind.DENSE:
            dense = columns.dense_column(batch)
            values = columns.Dense(cast(dense.values, dtype, rounds=rounds), dense.present).full()
            return columns.dense_array(values, dense.present)
        if field.kind is VectorKind.SPARSE:
            sparse = columns.sparse_column(batch)
            new = cast(sparse.values, dtype, rounds=rounds)
            return columns.sparse_array(columns.Sparse(sparse.indices, new, sparse.offsets, sparse.present))
        multi = columns.multi_column(batch)
        new = cast(multi.values, dtype, rounds=rounds)
        return columns.multi_array(columns.Multi(new, multi.offsets, multi.present))
    except NotHeld as error:
        record_id = draft.columns[columns.ID][_row(column, field, error.position)].as_py()
        raise BadRecord(
            f"record {record_id!r}: {error.number} in vector {field.name!r} is not a {dtype}, and the plan says that "
            "every number keeps its value",
            advice=_ADVICE,
        ) from error


_ADVICE = "agree to rounding with --consent vector_dtype, or take the original from the archive"


def _row(column: pa.Array, field: VectorField, position: int) -> int:
    """The row of the batch that holds a present number, counted through all numbers of the column."""
    batch = pa.RecordBatch.from_arrays([column], names=[columns.column_name("")])
    if field.kind is VectorKind.DENSE:
        dense = columns.dense_column(batch)
        at = position // dense.values.shape[1]
        return at if dense.present is None else int(np.flatnonzero(dense.present)[at])
    if field.kind is VectorKind.SPARSE:
        return int(np.searchsorted(columns.sparse_column(batch).offsets, position, side="right") - 1)
    multi = columns.multi_column(batch)
    return int(np.searchsorted(multi.offsets, position // multi.values.shape[1], side="right") - 1)
