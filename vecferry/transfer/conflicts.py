"""Conflicts of a merge as data: which part of which record, what each side has, and who wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical, hashing, sealing
from vecferry.idtable import IdTable
from vecferry.model import IDS_ONLY, Digest, Part, VectorField, VectorKind

__all__ = [
    "CONFLICTS_SCHEMA",
    "PART_NAMES",
    "WHOLE",
    "Choice",
    "Choices",
    "Conflicts",
    "Decide",
    "Decisions",
    "prefer",
    "shown",
    "undecided",
]

CAUSE, PART, OLD, NEW, KNOWN, OLD_HASH, NEW_HASH = "cause", "part", "old", "new", "known", "old_hash", "new_hash"

WHOLE = len(sealing.PART_ORDER)
"""The number of the part "record": the whole of it, where one side deleted it."""

PART_NAMES = (*(part.value for part in sealing.PART_ORDER), "record")
"""Names of the parts by number, as `sealing.PART_ORDER` has them, and of the whole."""

MAX_SHOWN_CHARACTERS = 2_000
"""Of one value's JSON text: enough to decide by, small enough for an editor. Whole records go to the archive."""
_SHOWN_NUMBERS = 6

_IDS = columns.arrow_schema((), IDS_ONLY)
_HASH = pa.binary(hashing.HASH_BYTES)
CONFLICTS_SCHEMA = pa.schema(
    [
        *_IDS,
        pa.field(PART, pa.string(), nullable=False),
        pa.field(CAUSE, pa.string(), nullable=False),
        pa.field(OLD_HASH, _HASH, nullable=False),
        pa.field(NEW_HASH, _HASH, nullable=False),
        pa.field(OLD, pa.string()),
        pa.field(NEW, pa.string()),
        pa.field(KNOWN, pa.string()),
    ]
)
"""One row a conflict. `old`, `new`, `known` are JSON texts for people, null for nothing; the hashes say which values
the conflict is about (16 zero bytes: the record is not there)."""

Hashes = npt.NDArray[np.uint8]


class Choice(IntEnum):
    """Who wins a conflict."""

    OPEN = 0
    OLD = 1
    NEW = 2


Choices = npt.NDArray[np.int8]
"""A `Choice` for each conflict, `(c,) int8`."""


class Conflicts:
    """Some conflicts. `batch` has the columns of `CONFLICTS_SCHEMA`; those of one record stand together."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    @classmethod
    def none(cls) -> Conflicts:
        """No conflict."""
        return cls(pa.RecordBatch.from_pylist([], schema=CONFLICTS_SCHEMA))

    @classmethod
    def all_of(cls, conflicts: Iterable[Conflicts]) -> Conflicts:
        """Those of many batches, in their order."""
        found = [item.batch for item in conflicts]
        return cls(pa.concat_batches(found)) if found else cls.none()

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def ids(self) -> pa.RecordBatch:
        """The ids of the records, one for each conflict."""
        return columns.ids_of(self.batch)

    def records(self) -> int:
        """How many records they are about."""
        return len(np.unique(sealing.hash_ids(self.batch), axis=0)) if len(self) else 0

    def digest(self) -> Digest:
        """A number for these conflicts and the values that they are about, whatever their order."""
        return hashing.digest(sealing.hash_ids(self.batch), self._contents())

    def keys(self) -> Hashes:
        """`(c, 16) uint8`: id, part and both values of each conflict as one hash."""
        return hashing.hash_rows(np.concatenate([sealing.hash_ids(self.batch), self._contents()], axis=1), 0)

    def filter(self, mask: npt.NDArray[np.bool_]) -> Conflicts:
        """The conflicts where the mask is true."""
        return Conflicts(self.batch.filter(pa.array(mask)))

    def _contents(self) -> Hashes:
        parts = np.zeros((len(self), hashing.HASH_BYTES), dtype=np.uint8)
        parts[:, 0] = [PART_NAMES.index(name) for name in self.batch.column(PART).to_pylist()]
        sides = (columns.fixed_binary(self.batch.column(name)) for name in (OLD_HASH, NEW_HASH))
        return np.concatenate([parts, *sides], axis=1)


Decide = Callable[[Conflicts], Choices]
"""Settles conflicts: a choice for each."""


def undecided(conflicts: Conflicts) -> Choices:
    """All stay open."""
    return np.zeros(len(conflicts), dtype=np.int8)


def prefer(choice: Choice) -> Decide:
    """The same side wins every conflict."""
    return partial(_always, choice)


def _always(choice: Choice, conflicts: Conflicts) -> Choices:
    return np.full(len(conflicts), choice, dtype=np.int8)


class Decisions:
    """Who wins which conflict, as a person said. One over values that have changed since stays open."""

    def __init__(self, conflicts: Conflicts, choices: Choices) -> None:
        self._table = IdTable([conflicts.keys()])
        self._choices = np.append(choices, np.int8(Choice.OPEN))

    def __len__(self) -> int:
        return len(self._table)

    def __call__(self, conflicts: Conflicts) -> Choices:
        return self._choices[self._table.find(conflicts.keys())]


# What people see


def shown(records: pa.RecordBatch, row: int, part: int) -> str:
    """One part of one record (or all of it, for `WHOLE`) as JSON text, long ones cut."""
    if part == WHOLE:
        parts = {name: canonical.to_json(shown(records, row, number)) for number, name in enumerate(PART_NAMES[:WHOLE])}
        return _cut(canonical.encode(parts).decode())
    name = sealing.PART_ORDER[part]
    if name is Part.VECTORS:
        fields = columns.fields_of(records.schema)
        texts = {field.name: _vector(records.slice(row, 1), field) for field in fields}
        return canonical.encode(texts[""] if list(texts) == [""] else texts).decode()
    column = records.column(columns.PAYLOAD if name is Part.PAYLOAD else columns.DOCUMENT)
    value = column[row].as_py()
    return _cut(value if name is Part.PAYLOAD else canonical.encode(value).decode())


def _cut(text: str) -> str:
    if len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return canonical.encode(f"{text[:MAX_SHOWN_CHARACTERS]}... ({len(text):,} characters)").decode()


def _vector(record: pa.RecordBatch, field: VectorField) -> str | None:
    """The first numbers of a record's vector and its length, in words; None where it lacks the vector."""
    column = record.column(columns.column_name(field.name))
    if column.null_count:
        return None
    if field.kind is VectorKind.SPARSE:
        sparse = columns.sparse_column(record, field.name)
        first = zip(sparse.indices[:_SHOWN_NUMBERS], sparse.values[:_SHOWN_NUMBERS], strict=True)
        places = ", ".join(f"{at}: {value}" for at, value in first)
        return f"sparse {field.dtype}, {len(sparse.values)} entries: {places}{_more(len(sparse.values))}"
    if field.kind is VectorKind.MULTI:
        rows = columns.multi_column(record, field.name).values
        return f"{len(rows)} x {field.dtype}[{field.dimension}]: {_numbers(rows.reshape(-1))}"
    numbers = columns.dense_column(record, field.name).values[0]
    length = float(np.linalg.norm(numbers.astype(np.float64)))
    return f"{field.dtype}[{field.dimension}] of length {length:.7g}: {_numbers(numbers)}"


def _numbers(values: npt.NDArray[np.generic]) -> str:
    return ", ".join(map(str, values[:_SHOWN_NUMBERS])) + _more(len(values))


def _more(count: int) -> str:
    return ", ..." * (count > _SHOWN_NUMBERS)
