"""The prediction of floats that an engine stores inexactly, against known answers and real engines."""

from __future__ import annotations

import math
import random
import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import payloads
from tests.support.examples import examples
from vecferry import canonical
from vecferry.mapping.floats import predict, predict_column, predict_text

KNOWN = [
    (90.28571428571429, 90.28571428571428),
    (-90.28571428571429, -90.28571428571428),
    (0.5, 0.5),
    (-0.0, -0.0),
    (5e-324, 5e-324),
    (1e16, 1e16),
    (1.7976931348623157e308, 1.7976931348623157e308),
    (1.2881615594207996e147, 1.2881615594207994e147),
]


def hard_floats(count: int) -> list[float]:
    """Random bit patterns, random decimals and the extremes; the same every time."""
    rng = random.Random(7)
    patterns = (struct.unpack("<d", rng.randbytes(8))[0] for _ in range(count))
    return [value for value in patterns if math.isfinite(value)] + [rng.random() for _ in range(count)]


@pytest.mark.parametrize(("value", "stored"), KNOWN)
def test_one_pass_gives_the_known_answer(value, stored):
    """Values that a real Qdrant server stored so."""
    assert struct.pack("<d", predict(value)) == struct.pack("<d", stored)


def test_a_second_pass_may_change_a_wide_exponent_again():
    """Two readings are not one."""
    assert predict(1.2881615594207996e147, 2) == 1.2881615594207992e147


@settings(max_examples=examples(100), deadline=None)
@given(payload=payloads, passes=st.sampled_from([1, 2]))
def test_the_text_changes_as_its_values_do(payload, passes):
    """Predicting on the text is the same as predicting each float of the value; digits in strings stay."""
    text = canonical.encode(payload)
    assert predict_text(text, passes) == canonical.encode(_predict_values(canonical.decode(text), passes))


def _predict_values(value, passes):
    if isinstance(value, float):
        return predict(value, passes) if math.isfinite(value) else value
    if isinstance(value, dict):
        return {key: _predict_values(item, passes) for key, item in value.items()}
    return [_predict_values(item, passes) for item in value] if isinstance(value, list) else value


def test_digits_in_strings_stay():
    """Text that looks like a float that changes is text, with quotes and backslashes before it too."""
    inner = '"\\:90.28571428571429,[90.28571428571429]'
    text = canonical.encode({"a": inner, "b": 90.28571428571429, "c": ":90.28571428571429,"})
    assert canonical.decode(predict_text(text, 1)) == {"a": inner, "b": 90.28571428571428, "c": ":90.28571428571429,"}


def test_a_column_without_such_floats_is_left_as_it_is():
    """The very same column comes back, also when rows look as if they might change."""
    column = pa.array(['{"a":0.1}', '{"a":1234567890123456789}', '{"a":"90.28571428571429"}', '{"a":1e+16}'])
    found, changed = predict_column(column, 1)
    assert found is column
    assert changed == 0


def test_a_column_tells_how_many_rows_change():
    """Only rows that change are replaced, in a slice too."""
    column = pa.array(['{"a":90.28571428571429}', '{"a":1}', '{"a":[90.28571428571429,2]}', '{"b":null}']).slice(1)
    found, changed = predict_column(column, 1)
    assert changed == 1
    assert found.to_pylist() == ['{"a":1}', '{"a":[90.28571428571428,2]}', '{"b":null}']


def test_an_exact_store_changes_nothing():
    """No pass, no change."""
    column = pa.array(['{"a":90.28571428571429}'])
    assert predict_column(column, 0) == (column, 0)


def test_the_embedded_qdrant_engine_stores_what_was_predicted(tmp_path):
    """One pass, bit for bit, at the top level and nested."""
    import qdrant_edge as engine

    values = hard_floats(1000)
    vectors = {"": engine.EdgeVectorParams(size=1, distance=engine.Distance.Dot)}
    shard = engine.EdgeShard.create(str(tmp_path), engine.EdgeConfig(vectors=vectors))
    written = [{"v": value, "l": [value, {"x": value}], "t": str(value)} for value in values]
    points = [engine.Point(row, [0.5], payload) for row, payload in enumerate(written)]
    shard.update(engine.UpdateOperation.upsert_points(points))
    found = {
        record.id: canonical.encode(record.payload) for record in shard.retrieve(list(range(len(values))), True, False)
    }
    shard.close()
    expected = {row: predict_text(canonical.encode(payload), 1) for row, payload in enumerate(written)}
    assert found == expected
    assert any(expected[row] != canonical.encode(payload) for row, payload in enumerate(written))


def test_a_chroma_folder_stores_what_was_predicted(tmp_path):
    """One pass, bit for bit, random bit patterns included."""
    import chromadb
    from chromadb.config import Settings

    values = hard_floats(500)
    client = chromadb.PersistentClient(str(tmp_path), settings=Settings(anonymized_telemetry=False))
    collection = client.create_collection("floats", embedding_function=None)
    ids = [str(row) for row in range(len(values))]
    metadatas = [{"v": value} for value in values]
    collection.add(ids=ids, embeddings=[[0.5, 0.5]] * len(values), metadatas=metadatas)
    read = collection.get(ids=ids, include=["metadatas"])
    found = {int(row): canonical.encode(dict(data)) for row, data in zip(read["ids"], read["metadatas"], strict=True)}
    # -0.0 loses its sign in Chroma, which is another matter: the payload codec puts it aside.
    expected = {row: predict_text(canonical.encode({"v": value}), 1) for row, value in enumerate(values)}
    assert found == expected
