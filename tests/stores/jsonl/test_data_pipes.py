"""Lines of chromadb-data-pipes: from its stdout, and from its `--out` file, which holds Python's text of bytes."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.stores.jsonl.test_dialects import ids_of, opened, payload_of
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.errors import BadRecord
from vecferry.model import IdKind, RecordId
from vecferry.stores.jsonl.wrapped import unwrapped
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all


def to_stdout(doc: dict[str, Any]) -> bytes:
    """A line as cdp 0.0.12 prints it."""
    return orjson.dumps(doc) + b"\n"


def to_file(doc: dict[str, Any]) -> bytes:
    """A line as cdp 0.0.12 writes it with `--out`: `str()` of what orjson gave, which are bytes."""
    return (str(orjson.dumps(doc)) + "\n").encode()


def doc(number: int) -> dict[str, Any]:
    """What cdp makes of one record."""
    metadata = None if number == 3 else {"n": number, "text": f'quo\'te "{number}"\n\\ ü', "f": number / 7, "b": True}
    text = None if number % 4 == 1 else f"document's {number} \t 名"
    return {"id": f"id '{number}'", "metadata": metadata, "embedding": [number + 0.5, -number / 3], "text_chunk": text}


class _Lines(SourceConformance):
    """The reading half of the suite."""

    @staticmethod
    def line(found: dict[str, Any]) -> bytes:
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"jsonl://{tmp_path}/{name.replace(' ', '%20')}.jsonl")

    @pytest.fixture
    def expected(self, address):  # type: ignore[no-untyped-def]
        docs = [doc(number) for number in range(50)]
        address.file.write_bytes(b"".join(map(self.line, docs)))
        vectors = np.array([found["embedding"] for found in docs], dtype=np.float32)
        return batches.make(
            [found["id"] for found in docs],
            IdKind.STRING,
            vectors={"": batches.dense_array(vectors)},
            documents=[found["text_chunk"] for found in docs],
            payloads=[canonical.encode(found["metadata"] or {}) for found in docs],
        )


class TestStdout(_Lines):
    """JSON lines."""

    line = staticmethod(to_stdout)


class TestOutFile(_Lines):
    """Python's text of bytes."""

    line = staticmethod(to_file)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: orjson.dumps(text)))
@example(b"'")
@example(b"'\"")
@example(b"\\")
@example(b"\\'")
@example(b"\xff\x00\n\r\t")
def test_pythons_text_of_bytes_is_taken_apart(content: bytes) -> None:
    """Whatever bytes Python writes as text come back as they were."""
    assert unwrapped(repr(content).encode()) == content


@given(st.binary(max_size=20))
@example(b"b'a'b'")
@example(b"b'\\'")
@example(b"b'")
@example(b"b'\\x4'")
@example(b"b'\\u0041'")
@example(b"b'' + b''")
@example(b'b"a"')
@example(b"\xff'")
@example(b"\n'")
def test_nothing_else_is_taken_for_pythons_text(content: bytes) -> None:
    """A line that begins so is a literal of Python's, and means what it means there, or it is refused."""
    line = content if content.startswith((b"b'", b'b"')) else b"b'" + content
    try:
        found = unwrapped(line)
    except ValueError:
        return
    assert unwrapped(repr(found).encode()) == found
    assert ast.literal_eval(line.decode()) == found


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'b\'{"id": "a"}', "cut"),
        (b'b\'{"id": "a"', "cut"),
        (b'b\'{"id": "a"}\' # x', "does not end as such"),
        (b"b'{\"id\": \"a\"}' + b''", "something follows"),
        (b'b\'{"id": "\\q"}\'', "Python writes no"),
        (b"b'__import__(\"os\")'", "Expecting value"),
        (b"{'id': 'a', 'embedding': [nan]}", "Python's text of a dictionary"),
        (b'{"id": null, "embedding": [1, 2]}', "not text"),
        (b'{"id": 5, "embedding": [1, 2]}', "not text"),
        (b'{"embedding": [1, 2]}', "no id"),
        (b'{"id": "a", "embedding": [1, null]}', "not a number"),
        (b'{"id": "a", "embedding": {"x": [1, 2]}}', "not a list of numbers"),
        (b'{"id": "a", "embedding": [true, 1]}', "true or false"),
        (b'{"id": "a", "embedding": [1, 2], "page": 5}', "--format record"),
        (b'{"id": "a", "metadata": {"k": 1, "k": 2}}', "stands twice"),
        (b'{"id": "a", "metadata": [1]}', "not an object"),
        (b'{"id": "a", "text_chunk": 5}', "document is not text"),
    ],
)
def test_a_broken_line_is_named_with_its_number(tmp_path: Path, line: bytes, problem: str) -> None:
    """Reading stops with BadRecord that says which line and what about it."""
    good = to_file({"id": "good", "metadata": None, "embedding": [1.0, 2.0], "text_chunk": None})
    source = opened(tmp_path / "f.jsonl", good + line + b"\n" + good)
    with pytest.raises(BadRecord, match="line 2") as caught:
        ids_of(source)
    assert problem in str(caught.value)


def test_a_cut_last_line_of_an_out_file_is_told_apart(tmp_path: Path) -> None:
    """A last line that lacks its closing quote says that the file was not written to its end."""
    with pytest.raises(BadRecord, match="line 2: the last line is cut"):
        opened(tmp_path / "f.jsonl", to_file(doc(1)) + to_file(doc(2))[:-2]).count()


def test_values_of_metadata_stay_what_they_are(tmp_path: Path) -> None:
    """Integers beyond a double, floats, booleans and null keep their type in either form of line."""
    metadata = {"big": 2**53 + 1, "f": 1.0, "b": False, "none": None, "text": "b'x'"}
    for at, line in enumerate((to_stdout, to_file)):
        path = tmp_path / f"{at}.jsonl"
        source = opened(path, line({"id": "a", "metadata": metadata, "embedding": [1.0], "text_chunk": ""}))
        assert payload_of(source, RecordId(IdKind.STRING, "a")) == metadata
        assert read_all(source)[RecordId(IdKind.STRING, "a")].document == ""


def test_a_file_that_was_appended_to_may_hold_both(tmp_path: Path) -> None:
    """`--append` to a file of JSON lines mixes the two; the plan notes what was found."""
    source = opened(tmp_path / "f.jsonl", to_stdout(doc(1)) + to_file(doc(2)))
    assert source.count() == 2
    assert any("--out" in note for note in source.describe().notes)


def test_lines_without_an_embedding_lack_their_vector(tmp_path: Path) -> None:
    """cdp's own producers write such lines before `cdp embed`: they are counted, not invented."""
    lines = [{"id": "a", "embedding": [1.0]}, {"id": "b", "embedding": None}, {"id": "c", "metadata": {}}]
    source = opened(tmp_path / "f.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert source.describe().missing_vectors == 2
