"""Records of every kind as plain values, and faults to plant in one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.mapping import Tolerance
from vecferry.model import DType, IdKind, Level, Metric, RecordId, VectorField, VectorKind
from vecferry.validation.compare import Comparison, compare_rows

DIMENSION = 4
DENSE = VectorField("", VectorKind.DENSE, DType.FLOAT32, DIMENSION, Metric.DOT)
HALF = VectorField("half", VectorKind.DENSE, DType.FLOAT16, DIMENSION, Metric.DOT)
SPARSE = VectorField("words", VectorKind.SPARSE, DType.FLOAT32, None, Metric.DOT)
MULTI = VectorField("tokens", VectorKind.MULTI, DType.FLOAT32, DIMENSION, Metric.DOT)
FIELDS = (DENSE, HALF, SPARSE, MULTI)

Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Record:
    """One record; a vector that is None is absent."""

    record_id: RecordId
    dense: Numbers | None
    half: Numbers | None
    words: tuple[npt.NDArray[np.uint32], Numbers] | None
    tokens: Numbers | None
    document: str | None = "Some words"
    payload: str = '{"a":1,"b":[1.5,null],"c":"x"}'


def record(number: int, kind: IdKind = IdKind.STRING) -> Record:
    """A record that has everything."""
    numbers = np.random.default_rng(number)
    return Record(
        RecordId(kind, str(number)),
        numbers.normal(size=DIMENSION).astype(np.float32),
        numbers.normal(size=DIMENSION).astype(np.float16),
        (np.array([3, 7, 4_000_000_000], np.uint32), numbers.normal(size=3).astype(np.float32)),
        numbers.normal(size=(3, DIMENSION)).astype(np.float32),
        payload=f'{{"a":{number},"b":[1.5,null],"c":"x"}}',
    )


def batch_of(records: Sequence[Record]) -> pa.RecordBatch:
    """The records as one batch."""
    return columns.make(
        [item.record_id.text for item in records],
        [item.record_id.kind for item in records],
        vectors={
            "": _dense([item.dense for item in records], np.float32),
            "half": _dense([item.half for item in records], np.float16),
            "words": _sparse([item.words for item in records]),
            "tokens": _multi([item.tokens for item in records]),
        },
        documents=[item.document for item in records],
        payloads=[item.payload for item in records],
    )


def _dense(vectors: Sequence[Numbers | None], dtype: type) -> pa.Array:
    present = np.array([vector is not None for vector in vectors], dtype=bool)
    values = [np.zeros(DIMENSION, dtype) if vector is None else vector for vector in vectors]
    return columns.dense_array(np.array(values, dtype).reshape(-1, DIMENSION), present)


def _sparse(vectors: Sequence[tuple[Numbers, Numbers] | None]) -> pa.Array:
    present = np.array([vector is not None for vector in vectors], dtype=bool)
    pairs = [vector for vector in vectors if vector is not None]
    indices = np.concatenate([np.zeros(0, np.uint32), *(pair[0] for pair in pairs)])
    values = np.concatenate([np.zeros(0, np.float32), *(pair[1] for pair in pairs)])
    lengths = [0 if vector is None else len(vector[0]) for vector in vectors]
    return columns.sparse_array(columns.Sparse(indices, values, _offsets(lengths), present))


def _multi(vectors: Sequence[Numbers | None]) -> pa.Array:
    present = np.array([vector is not None for vector in vectors], dtype=bool)
    values = np.concatenate([np.zeros((0, DIMENSION), np.float32), *(item for item in vectors if item is not None)])
    lengths = [0 if vector is None else len(vector) for vector in vectors]
    return columns.multi_array(columns.Multi(values, _offsets(lengths), present))


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def compared(
    wanted: Sequence[Record], got: Sequence[Record], tolerances: dict[str, Tolerance] | None = None
) -> Comparison:
    """What the comparison of these records says."""
    return compare_rows(batch_of(wanted), batch_of(got), FIELDS, tolerances or {})


def flipped(values: Numbers, place: int = 0, bit: int = 0) -> Numbers:
    """The numbers with one bit of one number changed."""
    bits = np.array(values).reshape(-1).view(f"u{values.dtype.itemsize}")
    bits[place] ^= bits.dtype.type(1 << bit)
    return bits.view(values.dtype).reshape(values.shape)


def changed(values: Numbers, number: float, place: int = 0) -> Numbers:
    """The numbers with another one in one place."""
    new = np.array(values)
    new.reshape(-1)[place] = number
    return new


@dataclass(frozen=True)
class Fault:
    """What may happen to a record on its way, and the level that must see it."""

    level: Level
    plant: Callable[[Record], Record | None]


FAULTS: dict[str, Fault] = {
    "lost": Fault(Level.IDS, lambda item: None),
    "text as number": Fault(
        Level.IDS, lambda item: replace(item, record_id=RecordId(IdKind.UINT64, item.record_id.text))
    ),
    "other id": Fault(
        Level.IDS, lambda item: replace(item, record_id=RecordId(IdKind.STRING, item.record_id.text + " "))
    ),
    "payload character": Fault(Level.PAYLOAD, lambda item: replace(item, payload=item.payload.replace('"x"', '"y"'))),
    "integer as float": Fault(
        Level.PAYLOAD, lambda item: replace(item, payload=item.payload.replace(',"b"', '.0,"b"'))
    ),
    "null as nothing": Fault(Level.PAYLOAD, lambda item: replace(item, payload=item.payload.replace(",null", ""))),
    "key dropped": Fault(Level.PAYLOAD, lambda item: replace(item, payload=item.payload.replace(',"c":"x"', ""))),
    "document lost": Fault(Level.PAYLOAD, lambda item: replace(item, document=None)),
    "document emptied": Fault(Level.PAYLOAD, lambda item: replace(item, document="")),
    "document character": Fault(Level.PAYLOAD, lambda item: replace(item, document="Some wordS")),
    "lowest bit": Fault(Level.VECTORS, lambda item: replace(item, dense=flipped(item.dense, 2))),
    "sign": Fault(Level.VECTORS, lambda item: replace(item, dense=flipped(item.dense, 3, 31))),
    "lowest bit of a half": Fault(Level.VECTORS, lambda item: replace(item, half=flipped(item.half, 1))),
    "vector lost": Fault(Level.VECTORS, lambda item: replace(item, dense=None)),
    "vector zeroed": Fault(Level.VECTORS, lambda item: replace(item, dense=np.zeros(DIMENSION, np.float32))),
    "numbers swapped": Fault(Level.VECTORS, lambda item: replace(item, dense=item.dense[::-1])),
    "sparse lost": Fault(Level.VECTORS, lambda item: replace(item, words=None)),
    "sparse emptied": Fault(Level.VECTORS, lambda item: replace(item, words=(item.words[0][:0], item.words[1][:0]))),
    "sparse index": Fault(
        Level.VECTORS, lambda item: replace(item, words=(item.words[0] + np.uint32(1), item.words[1]))
    ),
    "sparse entry dropped": Fault(
        Level.VECTORS, lambda item: replace(item, words=(item.words[0][:-1], item.words[1][:-1]))
    ),
    "sparse value": Fault(Level.VECTORS, lambda item: replace(item, words=(item.words[0], flipped(item.words[1], 1)))),
    "tokens lost": Fault(Level.VECTORS, lambda item: replace(item, tokens=None)),
    "tokens emptied": Fault(Level.VECTORS, lambda item: replace(item, tokens=item.tokens[:0])),
    "token dropped": Fault(Level.VECTORS, lambda item: replace(item, tokens=item.tokens[1:])),
    "tokens swapped": Fault(Level.VECTORS, lambda item: replace(item, tokens=item.tokens[::-1])),
    "token bit": Fault(Level.VECTORS, lambda item: replace(item, tokens=flipped(item.tokens, 9))),
}
