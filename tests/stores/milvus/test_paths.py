"""The fast way and the official client, as writers and as readers: what one writes, either reads, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import address, canonical
from vecferry import batch as batches
from vecferry.batch import Dense, Sparse
from vecferry.contract import Reader
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField, VectorKind
from vecferry.stores import registry
from vecferry.stores.milvus import collection, columns, probing
from vecferry.stores.milvus.public_rows import PublicRows
from vecferry.stores.milvus.records import WireRows

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda text: text != canonical.TAG)
_NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_KEYS = _TEXT.filter(lambda key: key not in ("id", "vector", "words", "$meta", "_seq", "_partition"))
_PAYLOADS = st.dictionaries(_KEYS, _JSON, max_size=4)
_STRINGS = st.text(st.characters(codec="utf-8"), max_size=6)
_INTEGERS = st.integers(-(2**63), 2**63 - 1).map(str)
_DIMENSION = 3
_FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
_DENSE = st.lists(_FLOATS, min_size=_DIMENSION, max_size=_DIMENSION)
_ENTRIES = st.dictionaries(st.integers(0, 2**32 - 2), st.floats(2**-126, 2.0**100, width=32), min_size=1, max_size=4)
_FIELDS = (
    VectorField("", dimension=_DIMENSION, metric=Metric.SQUARED_EUCLID),
    VectorField("words", VectorKind.SPARSE, metric=Metric.DOT),
)


def _sparse(rows: list[dict[int, float]]) -> pa.Array:
    items = [sorted(row.items()) for row in rows]
    offsets = np.cumsum([0, *map(len, items)]).astype(np.int32)
    flat = [item for row in items for item in row]
    indices = np.array([index for index, _ in flat], np.uint32)
    return batches.sparse_array(Sparse(indices, np.array([value for _, value in flat], np.float32), offsets))


@st.composite
def _batches(draw: st.DrawFn) -> pa.RecordBatch:
    """A few records of any ids, vectors and payloads that Milvus can hold."""
    kind = draw(st.sampled_from([IdKind.STRING, IdKind.INT64]))
    ids = draw(st.lists(_STRINGS if kind is IdKind.STRING else _INTEGERS, min_size=1, max_size=6, unique=True))
    rows = len(ids)
    numbers = np.array(draw(st.lists(_DENSE, min_size=rows, max_size=rows)), np.float32)
    words = draw(st.lists(_ENTRIES, min_size=rows, max_size=rows))
    payloads = draw(st.lists(_PAYLOADS, min_size=rows, max_size=rows))
    return batches.make(
        ids,
        kind,
        vectors={"": batches.dense_array(numbers), "words": _sparse(words)},
        documents=[None] * rows,
        payloads=[canonical.encode(payload) for payload in payloads],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples."""
    return tmp_path_factory.mktemp("milvus") / "data"


@given(written=_batches())
@settings(max_examples=examples(20), deadline=None)
def test_either_reader_gives_what_either_writer_wrote(folder: Path, written: pa.RecordBatch) -> None:
    """Any ids, dense and sparse vectors and payloads come back to the bit, in the same batch, by all four ways."""
    kind = batches.single_kind(written) or IdKind.STRING
    for writer in Reader:
        url = address.parse(f"milvus+path://{folder}/c{uuid4().hex}")
        with registry.open_target(url, writer) as target:
            target.create(CollectionSchema("c", _FIELDS, frozenset({kind})), {})
            target.write(written)
            for reader in Reader:
                with registry.open_target(url, reader) as opened:
                    [part] = opened.slices(1)
                    scanned = pa.Table.from_batches(opened.read(part)).combine_chunks().to_batches()[0]
                    for found in (opened.fetch(written), scanned):
                        order = found.column("id").to_pylist()
                        assert found.take([order.index(text) for text in written.column("id").to_pylist()]).equals(
                            written
                        )
            target.drop()


def test_the_installed_library_takes_packed_bytes() -> None:
    """The probe agrees with the protobuf library that is installed, so that the fast way is taken."""
    assert probing.wire_is_exact()


@pytest.mark.parametrize("harm", ["refused", "shuffled"])
def test_a_library_that_takes_no_packed_bytes_is_found(monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """Where packed bytes raise, or mean something else, the probe says so."""

    def add_dense(request: Any, place: Any, column: Dense) -> None:
        if harm == "refused":
            raise TypeError("this library takes no bytes here")
        real(request, place, Dense(column.values[::-1]))

    real = columns.add_dense
    monkeypatch.setattr(columns, "add_dense", add_dense)
    assert not probing.wire_is_exact.__wrapped__()


def test_without_packed_bytes_the_official_client_reads_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a probe that failed, records go and come by the official client; nothing else changes."""
    ways = []
    for is_exact in (True, False):
        monkeypatch.setattr(collection, "wire_is_exact", lambda is_exact=is_exact: is_exact)
        with registry.open_target(address.parse(f"milvus+path://{tmp_path}/data/c")) as target:
            assert isinstance(target, collection.MilvusCollection)
            ways.append(type(target._rows()))
    assert ways == [WireRows, PublicRows]
