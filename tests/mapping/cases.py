"""Capability sets like those of real stores, and hypothesis strategies for hostile records."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from vecferry import batch as columns
from vecferry import canonical
from vecferry.capabilities import Capabilities, FloatText, NameRule, PayloadSupport, PayloadType, VectorSupport
from vecferry.mapping import Mapping, Profiler, Rules, decide
from vecferry.mapping.ids import uuid5_texts
from vecferry.mapping.profile import Profile
from vecferry.model import CollectionSchema, DType, IdKind, Metric, VectorField, VectorKind

DIMENSION = 3
INT64 = {"integer_min": -(2**63), "integer_max": 2**63 - 1}
FLAT_TYPES = frozenset(PayloadType) - {
    PayloadType.NULL,
    PayloadType.OBJECT,
    PayloadType.EMPTY_LIST,
    PayloadType.MIXED_LIST,
    PayloadType.SPECIAL,
}

QDRANT = Capabilities(
    "qdrant",
    "Qdrant",
    frozenset({IdKind.UINT64, IdKind.UUID}),
    VectorSupport(
        kinds=frozenset(VectorKind),
        dtypes=frozenset({DType.FLOAT32}),
        metrics=frozenset({Metric.COSINE, Metric.DOT, Metric.EUCLID, Metric.MANHATTAN}),
        max_dimension=65_536,
        named=True,
        missing=True,
        normalises=frozenset({Metric.COSINE}),
    ),
    PayloadSupport(
        types=frozenset(PayloadType) - {PayloadType.SPECIAL}, float_text=FloatText.ONE_PASS, max_depth=4, **INT64
    ),
)
CHROMA = Capabilities(
    "chroma",
    "Chroma",
    frozenset({IdKind.STRING}),
    VectorSupport(
        metrics=frozenset({Metric.COSINE, Metric.DOT, Metric.SQUARED_EUCLID}), distorts=frozenset({Metric.COSINE})
    ),
    PayloadSupport(
        types=FLAT_TYPES,
        float_text=FloatText.TWO_PASSES,
        negative_zero=False,
        empty_key=False,
        reserved_keys=frozenset({"chroma:document"}),
        reserved_prefixes=("#", "$"),
        **INT64,
    ),
    document=True,
    empty_id=False,
)
FILES = Capabilities(
    "files",
    "a folder of files",
    frozenset(IdKind),
    VectorSupport(kinds=frozenset(VectorKind), dtypes=frozenset(DType), named=True, missing=True, nonfinite=True),
    document=True,
    stores_metric=False,
)
MILVUS = Capabilities(
    "milvus",
    "Milvus",
    frozenset({IdKind.INT64, IdKind.STRING}),
    VectorSupport(
        kinds=frozenset({VectorKind.DENSE, VectorKind.SPARSE}),
        metrics=frozenset({Metric.COSINE, Metric.DOT, Metric.SQUARED_EUCLID}),
        named=True,
        share_keys=True,
        max_fields=4,
        names=NameRule("[A-Za-z_][A-Za-z0-9_]{0,254}", "a letter or _ first", reserved=frozenset({"id"})),
        unnamed_field="vector",
    ),
    PayloadSupport(
        types=frozenset(PayloadType) - {PayloadType.SPECIAL},
        max_depth=4,
        reserved_keys=frozenset({"id", "vector"}),
        **INT64,
    ),
    one_id_kind=True,
    max_number_id=2**63 - 2,
)
NARROW = replace(CHROMA, store="narrow", payload=replace(CHROMA.payload, max_keys=2, max_key_bytes=6))
"""Few and short keys: more than those are put aside."""

TARGETS = {"qdrant": QDRANT, "chroma": CHROMA, "files": FILES, "milvus": MILVUS, "narrow": NARROW}

# Ids that look like what an encoding of another one gives.
_DERIVED = uuid5_texts([b"a", b"int64:-5", b"uuid:00000000-0000-4000-8000-000000000001"]).to_pylist()
TEXTS_LIKE_IDS = ["a", "", "5", "-5", "uint64:5", "int64:-5", "string:a", "string:", "uuid:a", "string:string:a"]
HOSTILE_IDS = [
    *((IdKind.STRING, text) for text in (*TEXTS_LIKE_IDS, *_DERIVED)),
    *((IdKind.UUID, text) for text in (*_DERIVED, "00000000-0000-4000-8000-000000000001")),
    *((IdKind.UINT64, text) for text in ("5", "0", "18446744073709551615")),
    *((IdKind.INT64, text) for text in ("5", "-5", "-9223372036854775808")),
]

HOSTILE_KEYS = [
    "vecferry_id",
    "vecferry_id_",
    "vecferry_payload",
    "vecferry_payload_",
    "text",
    "chroma:document",
    "",
    "#a",
    "$b",
    "a.b",
    'qu"ote',
    "back\\slash",
    "$vecferry",
    "\ud800",
    "ключ",
]

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["a", "b", *TEXTS_LIKE_IDS, *_DERIVED, "1.2345678901234567", ',"vecferry_id":"a"', '{"null":[1e300]}', "\ud800"]
    ),
    st.builds(lambda key, value: canonical.encode({key: value}).decode(), st.sampled_from(HOSTILE_KEYS), st.integers()),
)
floats = st.one_of(st.floats(), st.sampled_from([-0.0, 632 / 7, 5e-324, 1.7976931348623157e308, 1e16, 0.1]))
integers = st.one_of(st.integers(), st.sampled_from([2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1]))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    floats,
    texts,
    st.binary(max_size=4),
    st.just(dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)),
)
keys = st.one_of(st.sampled_from(HOSTILE_KEYS), st.text(max_size=4))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=2)),
    max_leaves=6,
)
payloads = st.dictionaries(keys, values, max_size=5)
documents = st.one_of(
    st.none(),
    st.sampled_from(["", "a", '"vecferry_id":1']),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6),
)


def ids(*kinds: IdKind) -> st.SearchStrategy[tuple[IdKind, str]]:
    """Typed ids of these kinds, hostile ones among them."""
    plain = {
        IdKind.STRING: st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6),
        IdKind.UINT64: st.integers(0, 2**64 - 1).map(str),
        IdKind.INT64: st.integers(-(2**63), 2**63 - 1).map(str),
        IdKind.UUID: st.uuids().map(str),
    }
    hostile = st.sampled_from([pair for pair in HOSTILE_IDS if pair[0] in kinds])
    return st.one_of(hostile, *(st.tuples(st.just(kind), plain[kind]) for kind in kinds))


def make_batch(
    typed_ids: Sequence[tuple[IdKind, str]],
    rows: Sequence[dict[str, Any]] | None = None,
    texts_of: Sequence[str | None] | None = None,
    vectors: np.ndarray[Any, Any] | None = None,
) -> pa.RecordBatch:
    """A batch with one unnamed vector; parts that are None are filled with something plain."""
    count = len(typed_ids)
    if vectors is None:
        vectors = np.arange(count * DIMENSION, dtype=np.float32).reshape(count, DIMENSION)
    return columns.make(
        [text for _, text in typed_ids],
        [kind for kind, _ in typed_ids],
        vectors={"": columns.dense_array(vectors)},
        documents=list(texts_of) if texts_of is not None else [None] * count,
        payloads=canonical.encode_many(rows if rows is not None else [{}] * count),
    )


def make_schema(*kinds: IdKind, document: bool = False, **vector: Any) -> CollectionSchema:
    """A collection with one unnamed vector."""
    field = VectorField(**{"dimension": DIMENSION, "metric": Metric.DOT, **vector})
    return CollectionSchema("docs", (field,), frozenset(kinds), document)


def profile_of(*batches: pa.RecordBatch) -> Profile:
    """The profile of these batches."""
    profiler = Profiler()
    for batch in batches:
        profiler.observe(batch)
    return profiler.profile()


def mapping_for(schema: CollectionSchema, batch: pa.RecordBatch | None, target: Capabilities, **rules: Any) -> Mapping:
    """The mapping to a target, of a source that holds this batch (None: nothing was looked at)."""
    profile = Profile() if batch is None else profile_of(batch)
    return decide(schema, profile, FILES, target, Rules(**rules))


def fits_chroma(key: str, value: Any) -> bool:
    """What Chroma takes and gives back, said apart from the code under test."""
    if not key or key[0] in "#$" or key == "chroma:document":
        return False
    if isinstance(value, list):
        return bool(value) and len({type(item) for item in value}) == 1 and all(fits_chroma(key, v) for v in value)
    if isinstance(value, float):
        return math.isfinite(value) and (value != 0 or math.copysign(1, value) > 0)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) and all(not 0xD800 <= ord(char) < 0xE000 for char in value)


def decisions(mapping: Mapping) -> dict[str, str]:
    """Outcomes by feature."""
    return {decision.feature: decision.outcome.value for decision in mapping.decisions}
