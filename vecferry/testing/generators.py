"""Seeded records of every kind, restricted to what a store's capabilities claim.

The same seed gives the same records on every machine. Numbers, ids and payloads are chosen to be nasty:
-0.0 and denormals, the borders of integer ranges, ids that look like numbers, paths or SQL, keys with
quotes, documents that are absent, empty or not ASCII.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import canonical
from vecferry.capabilities import Capabilities, FloatText, PayloadSupport, PayloadType
from vecferry.model import CollectionSchema, DType, IdKind, Metric, RecordId, VectorField, VectorKind

__all__ = [
    "HOSTILE_IDS",
    "collection_schema",
    "hostile_ids",
    "identifiers",
    "payload_examples",
    "plain_metric",
    "records",
    "rich_vectors",
    "single_vector",
    "stream",
]

HOSTILE_IDS = (
    "",
    " ",
    "12",
    "007",
    "-1",
    "1.0",
    "null",
    ".",
    "..",
    "../../etc/passwd",
    "a/b\\c",
    "per%20cent%",
    "'; DROP TABLE records; --",
    "quotes \"double\" and 'single'",
    "line\nbreak\ttab",
    "ünïcödé 日本語 🚢",
    "e\u0301 is not \u00e9",
    "7D444840-9DC0-11D1-B245-5FFDCE74FAD2",
    '{"id": 1}',
    "id_kind",
    "$vecferry",
    "x" * 200,
)
_DOCUMENTS = ("plain words", None, "", "ünïcödé 日本語 🚢", 'two\nlines\tand "quotes" \\ ', "12", "long " * 400)
_WIDE_INTEGERS = (0, 1, -1, 2**31, 2**53 + 1, -(2**63), 2**63 - 1, 2**64 - 1, 2**100)
_UINT64_BORDERS = (0, 1, 2**53 + 1, 2**63, 2**64 - 1)
_INT64_BORDERS = (-1, -(2**53) - 1, -(2**63), 2**63 - 1)


def plain_metric(capabilities: Capabilities) -> Metric:
    """A metric under which the store keeps vectors as they are, where it has one."""
    support = capabilities.vectors
    changed = support.normalises | support.distorts
    order = (Metric.DOT, Metric.SQUARED_EUCLID, Metric.EUCLID, Metric.MANHATTAN, Metric.COSINE)
    offered = [metric for metric in order if metric in support.metrics] or list(order)
    return next((metric for metric in offered if metric not in changed), offered[0])


def single_vector(
    capabilities: Capabilities, dimension: int = 8, metric: Metric | None = None
) -> tuple[VectorField, ...]:
    """The plainest vectors: one unnamed dense one of the first type that the store claims (float32 where it can)."""
    dtypes = capabilities.vectors.dtypes
    dtype = DType.FLOAT32 if DType.FLOAT32 in dtypes else sorted(dtypes)[0]
    return (VectorField("", VectorKind.DENSE, dtype, dimension, metric or plain_metric(capabilities)),)


def rich_vectors(capabilities: Capabilities, dimension: int = 8) -> tuple[VectorField, ...]:
    """Every kind and dtype of vector that the store claims, by name; the single vector where it takes no names."""
    support = capabilities.vectors
    if not support.named:
        return single_vector(capabilities, dimension)
    fields = [
        VectorField(f"dense_{dtype}", VectorKind.DENSE, dtype, dimension + at, plain_metric(capabilities))
        for at, dtype in enumerate(sorted(support.dtypes))
    ]
    number = DType.FLOAT32 if DType.FLOAT32 in support.dtypes else sorted(support.dtypes)[0]
    if VectorKind.SPARSE in support.kinds:
        fields.append(VectorField("sparse", VectorKind.SPARSE, number, None, Metric.DOT))
    if VectorKind.MULTI in support.kinds:
        fields.append(VectorField("multi", VectorKind.MULTI, number, dimension, plain_metric(capabilities)))
    return tuple(fields)


def collection_schema(
    name: str, vectors: Sequence[VectorField], capabilities: Capabilities, has_document: bool = True
) -> CollectionSchema:
    """The schema that a target is created with."""
    return CollectionSchema(name, tuple(vectors), _kinds(capabilities), has_document and capabilities.document)


def records(
    vectors: Sequence[VectorField],
    capabilities: Capabilities,
    rows: int,
    seed: int = 0,
    *,
    ids: Sequence[RecordId] | None = None,
) -> pa.RecordBatch:
    """`rows` records with every part that the store can hold; the same ids for every seed unless `ids` are given."""
    numbers = np.random.default_rng((seed, rows))
    listed = list(ids) if ids is not None else identifiers(capabilities, rows)
    return batches.make(
        [item.text for item in listed],
        [item.kind for item in listed],
        vectors={field.name: _vector(field, capabilities, rows, numbers) for field in vectors},
        documents=_documents(capabilities, rows, seed),
        payloads=_payloads(capabilities.payload, rows, seed),
    )


def stream(
    vectors: Sequence[VectorField], capabilities: Capabilities, rows: int, batch_rows: int = 1000, seed: int = 0
) -> Iterator[pa.RecordBatch]:
    """`rows` records in batches, made as they are asked for: for benchmarks and big tests."""
    source = _identifier_stream(capabilities)
    for start in range(0, rows, batch_rows):
        count = min(batch_rows, rows - start)
        yield records(vectors, capabilities, count, seed + start, ids=list(itertools.islice(source, count)))


# Ids


def identifiers(capabilities: Capabilities, rows: int) -> list[RecordId]:
    """Distinct ids of distinct texts, all claimed kinds in turn, borders of the integer ranges first."""
    return list(itertools.islice(_identifier_stream(capabilities), rows))


def _identifier_stream(capabilities: Capabilities) -> Iterator[RecordId]:
    makers = [_IDENTIFIERS[kind]() for kind in sorted(_kinds(capabilities))]
    while True:
        for maker in makers:
            yield next(maker)


def _kinds(capabilities: Capabilities) -> frozenset[IdKind]:
    """The kinds of ids that one collection holds; strings where a store chooses one for each collection."""
    if not capabilities.one_id_kind or IdKind.STRING not in capabilities.id_kinds:
        return capabilities.id_kinds
    return frozenset({IdKind.STRING})


def _unsigned() -> Iterator[RecordId]:
    for value in itertools.chain(_UINT64_BORDERS, itertools.count(100)):
        yield RecordId(IdKind.UINT64, str(value))


def _signed() -> Iterator[RecordId]:
    for value in itertools.chain(_INT64_BORDERS, itertools.count(-100, -1)):
        yield RecordId(IdKind.INT64, str(value))


def _uuids() -> Iterator[RecordId]:
    for value in itertools.count():
        yield RecordId(IdKind.UUID, str(uuid.uuid5(uuid.NAMESPACE_OID, str(value))))


def _strings() -> Iterator[RecordId]:
    for value in itertools.count():
        yield RecordId(IdKind.STRING, f"document {value}")


_IDENTIFIERS = {
    IdKind.UINT64: _unsigned,
    IdKind.INT64: _signed,
    IdKind.UUID: _uuids,
    IdKind.STRING: _strings,
}


def hostile_ids(capabilities: Capabilities, refused: frozenset[str] = frozenset()) -> list[RecordId]:
    """String ids that look like something else, of a length that the store claims; none where it takes no strings."""
    limit = capabilities.max_id_bytes
    if IdKind.STRING not in capabilities.id_kinds:
        return []
    texts = [text for text in HOSTILE_IDS if text not in refused and (text or capabilities.empty_id)]
    if limit is not None:
        texts = [text for text in texts if len(text.encode()) <= limit]
    return [RecordId(IdKind.STRING, text) for text in texts]


# Vectors


def _vector(field: VectorField, capabilities: Capabilities, rows: int, numbers: np.random.Generator) -> pa.Array:
    present = None
    if capabilities.vectors.missing and capabilities.vectors.named:
        # Row 0 keeps all of its vectors, so that no store has to guess a dimension.
        present = (np.arange(rows) + len(field.name)) % 5 != 0
        present[:1] = True
    count = rows if present is None else int(present.sum())
    if field.kind is VectorKind.SPARSE:
        return _sparse(field, rows, present, numbers)
    if field.kind is VectorKind.MULTI:
        return _multi(field, rows, present, numbers)
    values = _matrix(field, count, numbers)
    return batches.dense_array(_spread(values, present), present)


def _spread(values: npt.NDArray[Any], present: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    if present is None:
        return values
    out = np.zeros((len(present), values.shape[1]), dtype=values.dtype)
    out[present] = values
    return out


def _matrix(field: VectorField, rows: int, numbers: np.random.Generator) -> npt.NDArray[Any]:
    """`(rows, dim)` numbers of the field's dtype, with nasty ones in the first rows; never a zero vector."""
    dimension = field.dimension or 4
    if field.dtype in (DType.UINT8, DType.INT8):
        low, high = (0, 256) if field.dtype is DType.UINT8 else (-128, 128)
        whole = numbers.integers(low, high, (rows, dimension))
        whole[:, 0] = np.where(whole[:, 0] == 0, 1, whole[:, 0])
        return whole.astype(field.dtype.value)
    values = numbers.standard_normal((rows, dimension)).astype(field.dtype.value)
    limits = np.finfo(values.dtype)
    for row, number in enumerate((-0.0, float(limits.smallest_subnormal), float(limits.tiny), 1 / 3, 1e3)):
        if row < rows and dimension > 1:
            values[row, dimension - 1] = number
    return values


def _lengths(rows: int, present: npt.NDArray[np.bool_] | None, least: int) -> npt.NDArray[np.int32]:
    lengths = np.arange(rows) % 4 + least
    if present is not None:
        lengths[~present] = 0
    offsets = np.zeros(rows + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _sparse(
    field: VectorField, rows: int, present: npt.NDArray[np.bool_] | None, numbers: np.random.Generator
) -> pa.Array:
    offsets = _lengths(rows, present, 1)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    indices = (within * 1000 + within).astype(np.uint32)
    values = numbers.uniform(0.1, 1.0, len(indices)).astype(field.dtype.value)
    return batches.sparse_array(batches.Sparse(indices, values, offsets, present))


def _multi(
    field: VectorField, rows: int, present: npt.NDArray[np.bool_] | None, numbers: np.random.Generator
) -> pa.Array:
    offsets = _lengths(rows, present, 1)
    return batches.multi_array(batches.Multi(_matrix(field, int(offsets[-1]), numbers), offsets, present))


# Documents and payloads


def _documents(capabilities: Capabilities, rows: int, seed: int) -> list[str | None]:
    if not capabilities.document:
        return [None] * rows
    return [_DOCUMENTS[(row + seed) % len(_DOCUMENTS)] for row in range(rows)]


def payload_examples(support: PayloadSupport) -> dict[PayloadType, list[Any]]:
    """Values of each payload type that the store claims to keep exactly."""
    return {kind: values for kind, values in _all_examples(support).items() if kind in support.types and values}


def _all_examples(support: PayloadSupport) -> Mapping[PayloadType, list[Any]]:
    low, high = support.integer_min, support.integer_max
    integers = [i for i in _WIDE_INTEGERS if (low is None or i >= low) and (high is None or i <= high)]
    integers += [border for border in (low, high) if border is not None]
    floats = [1.0, -2.5, 0.5, 1e300, 2.0**-1000]
    if support.float_text is FloatText.EXACT:
        floats += [4.95e-7, 0.1 + 0.2, 1.7976931348623157e308, 5e-324, 0.8444218515250481]
    else:
        floats = [1.0, -2.5, 0.5, 3.14]
    if support.negative_zero:
        floats.append(-0.0)
    return {
        PayloadType.NULL: [None],
        PayloadType.BOOL: [True, False],
        PayloadType.INTEGER: integers,
        PayloadType.FLOAT: floats,
        PayloadType.STRING: [
            "",
            "text",
            "12",
            "null",
            "ünïcödé 日本語 🚢",
            "quotes \" ' \\ \n",
            "\u0000 nul",
            "long " * 300,
        ],
        PayloadType.OBJECT: _objects(support),
        PayloadType.EMPTY_LIST: [[]],
        PayloadType.STRING_LIST: [["a", "", "ü"], ["one"]],
        PayloadType.INTEGER_LIST: [[1, 2, 3], [2**53 + 1]],
        PayloadType.FLOAT_LIST: [[1.0, 2.5], [0.5]],
        PayloadType.BOOL_LIST: [[True, False]],
        PayloadType.MIXED_LIST: [["a", 1, 2.5, True]] + ([[None, [1], {"b": 2}]] if _deep(support, 4) else []),
        PayloadType.SPECIAL: [float("nan"), float("inf"), b"\x00\xff", {"$vecferry": ["float", "nan"]}, "\ud800 lone"],
    }


def _deep(support: PayloadSupport, levels: int) -> bool:
    return support.max_depth is None or support.max_depth >= levels


def _objects(support: PayloadSupport) -> list[Any]:
    values: list[Any] = [{"inner": 1}] if _deep(support, 2) else []
    if _deep(support, 4):
        values += [{}, {"b": {"c": {"d": 1.0}}}, {"list": [{"deep": None}, [1, [2]]]}]
    return values


def payload_keys(support: PayloadSupport) -> list[str]:
    """Top-level keys that look like something else and that the store claims to take."""
    keys = ["with space", "dotted.key", "brackets[0]", "ünïcödé", 'quo"te', "$dollar", "#hash", "a" * 100]
    keys += [""] if support.empty_key else []
    prefixes = tuple(prefix for prefix in support.reserved_prefixes if prefix)
    return [key for key in keys if key not in support.reserved_keys and not key.startswith(prefixes or "\0")]


def _payloads(support: PayloadSupport, rows: int, seed: int) -> list[bytes]:
    """Row 0 is empty; the others hold one value of each type that the store claims, under plain and nasty keys."""
    examples = payload_examples(support)
    keys = payload_keys(support)
    texts = [b"{}"]
    for row in range(1, rows):
        at = row + seed
        payload = {kind.value.replace(" ", "_"): values[at % len(values)] for kind, values in examples.items()}
        payload[keys[at % len(keys)]] = f"value {at}"
        texts.append(canonical.encode(payload))
    return texts[:rows]
