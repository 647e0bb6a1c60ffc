"""The cursor that finds the borders of JSON values without holding the file."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.jsonl.test_dialects import opened
from tests.support.examples import examples
from vecferry.stores import json_splitter as splitter
from vecferry.stores.json_splitter import Cursor, CutShort

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def elements(text: bytes, block_bytes: int) -> list[tuple[int, bytes]]:
    """The elements of an array, read in blocks of this size."""
    with patch.object(splitter, "_BLOCK_BYTES", block_bytes):
        cursor = Cursor(io.BytesIO(text))
        cursor.take(b"[")
        found = []
        while cursor.peek() != b"]":
            found.append(cursor.value())
            cursor.take_if(b",")
        return found


@settings(max_examples=examples(60), deadline=None)
@given(values=st.lists(VALUES, max_size=6), indent=st.sampled_from([None, 1]), block_bytes=st.integers(1, 40))
def test_elements_are_what_a_whole_parse_gives(values: list[Any], indent: int | None, block_bytes: int) -> None:
    """Whatever the values, the spacing and the size of a block, each element is found whole and in its place."""
    text = json.dumps(values, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = elements(text, block_bytes)
    assert [json.loads(item.decode("utf-8", "surrogatepass")) for _, item in found] == values
    assert all(text[place : place + len(item)] == item for place, item in found)


@settings(max_examples=examples(60), deadline=None)
@given(value=VALUES, block_bytes=st.integers(1, 40))
def test_skipping_passes_over_exactly_one_value(value: Any, block_bytes: int) -> None:
    """After `skip` the cursor stands right behind the value."""
    text = json.dumps([value, "next"], ensure_ascii=False).encode("utf-8", "surrogatepass")
    with patch.object(splitter, "_BLOCK_BYTES", block_bytes):
        cursor = Cursor(io.BytesIO(text))
        cursor.take(b"[")
        cursor.skip()
        cursor.take(b",")
        assert cursor.value()[1] == b'"next"'


@settings(max_examples=examples(60), deadline=None)
@given(value=st.dictionaries(st.text(), VALUES, min_size=1), data=st.data())
def test_a_cut_value_is_never_taken_for_whole(value: Any, data: st.DataObject) -> None:
    """However a value is cut, reading it says that the file ends too early."""
    text = json.dumps(value).encode()
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    for act in (Cursor(io.BytesIO(cut)).value, Cursor(io.BytesIO(cut)).skip):
        with pytest.raises(CutShort):
            act()


def test_a_document_is_never_held_whole(tmp_path: Path) -> None:
    """Looking through a document of 24 MB and reading a slice of it takes a fraction of that."""
    rows = [{"id": n, "vector": [n], "payload": {"text": "x" * 8000}} for n in range(3000)]
    source = opened(tmp_path / "f.json", json.dumps(rows))
    del rows
    tracemalloc.start()
    slices = source.slices(10)
    assert sum(batch.num_rows for batch in source.read(slices[5], batch_rows=50)) == 300
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 << 20
