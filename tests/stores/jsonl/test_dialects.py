"""The forms of JSON that others write, told apart by content and read exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord
from vecferry.model import DType, IdKind, RecordId, VectorKind
from vecferry.stores import registry
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all, rows_of

UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def opened(path: Path, content: str | bytes, options: str = "") -> Source:
    """A file with this content, opened as a source."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return registry.open_source(parse(f"jsonl://{path}{options}"))


def ids_of(source: Source) -> list[RecordId]:
    return [item for part in source.slices(1) for b in source.read(part) for item in batches.record_ids(b)]


def payload_of(source: Source, record_id: RecordId) -> Any:
    return canonical.decode(read_all(source)[record_id].payload or b"")


def points(count: int) -> list[dict[str, Any]]:
    return [
        {"id": n, "vector": [n + 0.5, -n], "payload": {"n": n, "text": f'quo"te {n}', "list": [n, {"deep": None}]}}
        for n in range(count)
    ]


class _Dialect(SourceConformance):
    """The reading half of the suite over a file that plain Python wrote."""

    def content(self, rows: list[dict[str, Any]]) -> str:
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"jsonl://{tmp_path}/{name.replace(' ', '%20')}.json")

    @pytest.fixture
    def expected(self, address):  # type: ignore[no-untyped-def]
        rows = points(50)
        address.file.write_text(self.content(rows))
        return batches.make(
            [str(row["id"]) for row in rows],
            IdKind.UINT64,
            vectors={"": batches.dense_array(np.array([row["vector"] for row in rows], dtype=np.float32))},
            documents=[None] * len(rows),
            payloads=[canonical.encode(row["payload"]) for row in rows],
        )


class TestLinesOfPoints(_Dialect):
    """One point a line, as Python's json writes it."""

    def content(self, rows: list[dict[str, Any]]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)


class TestScrollDump(_Dialect):
    """One answer of Qdrant's scroll in one document, pretty-printed."""

    def content(self, rows: list[dict[str, Any]]) -> str:
        page = {"result": {"points": rows, "next_page_offset": None}, "status": "ok", "time": 0.001}
        return json.dumps(page, indent=2)


class TestScrollPages(_Dialect):
    """One answer of Qdrant's scroll a line."""

    def content(self, rows: list[dict[str, Any]]) -> str:
        pages = [rows[at : at + 7] for at in range(0, len(rows), 7)]
        return "\n".join(
            json.dumps({"time": 1, "result": {"next_page_offset": None, "points": page}}) for page in pages
        )


class TestListOfPoints(_Dialect):
    """A bare list of points."""

    def content(self, rows: list[dict[str, Any]]) -> str:
        return json.dumps(rows)


class TestChromaColumns(SourceConformance):
    """The answer of Chroma's get: one array a column."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"jsonl://{tmp_path}/{name.replace(' ', '%20')}.json")

    @pytest.fixture
    def expected(self, address):  # type: ignore[no-untyped-def]
        rows = points(50)
        documents = [None if row["id"] % 3 == 0 else f"text, [{{ {row['id']}" for row in rows]
        columns = {
            "included": ["metadatas", "documents"],
            "embeddings": [row["vector"] for row in rows],
            "ids": [f"id {row['id']}" for row in rows],
            "uris": None,
            "metadatas": [None if row["id"] == 3 else row["payload"] for row in rows],
            "documents": documents,
        }
        address.file.write_text(json.dumps(columns))
        return batches.make(
            columns["ids"],  # type: ignore[arg-type]
            IdKind.STRING,
            vectors={"": batches.dense_array(np.array([row["vector"] for row in rows], dtype=np.float32))},
            documents=documents,
            payloads=[b"{}" if row["id"] == 3 else canonical.encode(row["payload"]) for row in rows],
        )


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        ('{"id": 1, "vector": [1], "payload": {}}\n', "one point a line"),
        ('{"vector": [1], "payload": {"ids": 1, "result": 2}, "id": 1}', "one point a line"),
        ('{"status": "ok", "result": {"points": []}}', "Qdrant scroll dump"),
        ('{"result": []}\n{"result": []}\n', "Qdrant scroll dump"),
        ("[]", "list of Qdrant points"),
        ('{"embeddings": null, "ids": []}', "Chroma columns"),
        ("", "one point a line"),
        ('{"id": "a"}\n', "one point a line"),
        ('{"id": "a", "metadata": null, "embedding": [1], "text_chunk": "b"}', "chromadb-data-pipes lines"),
        ('{"text_chunk": null, "id": "a"}', "chromadb-data-pipes lines"),
        ('b\'{"id":"a","embedding":[1]}\'\n', "chromadb-data-pipes lines"),
    ],
)
def test_the_dialect_is_detected_and_named(tmp_path: Path, content: str, dialect: str) -> None:
    """`describe().dialect` says how the file was understood, whatever the order of its keys."""
    assert opened(tmp_path / "f.json", content).describe().dialect == dialect


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ('{"id": "a", "vector": [1], "metadata": {}}', "?dialect=points or ?dialect=cdp"),
        ('{"id": "a", "text_chunk": "b", "document": "c"}', "?dialect=cdp or ?dialect=points"),
        ('{"id": "a", "vector": [1], "ids": [1]}', "?dialect=points or ?dialect=chroma"),
        ('{"id": "a", "embedding": [1], "result": 5}', "?dialect=cdp or ?dialect=qdrant"),
    ],
)
def test_a_file_that_may_be_in_two_forms_is_refused(tmp_path: Path, content: str, choices: str) -> None:
    """The error names the keys that tell of either form, and the option that settles it."""
    with pytest.raises(BadOption, match="it may be either") as caught:
        opened(tmp_path / "f.json", content).count()
    assert choices in caught.value.advice


def test_an_ignored_key_tells_nothing(tmp_path: Path) -> None:
    """A key that stays behind does not make a file ambiguous; the option says a form without any look."""
    content = '{"id": "a", "vector": [1], "metadata": {}}'
    source = opened(tmp_path / "f.json", content, "?ignore=metadata")
    assert source.describe().dialect == "one point a line"
    source = opened(tmp_path / "f.json", content, "?dialect=cdp&ignore=vector")
    assert source.describe().dialect == "chromadb-data-pipes lines"


def test_an_empty_file_is_an_empty_collection(tmp_path: Path) -> None:
    """No byte, no record, no error."""
    source = opened(tmp_path / "f.jsonl", "")
    assert source.count() == 0
    assert ids_of(source) == []


def test_ids_keep_their_kind(tmp_path: Path) -> None:
    """An integer, a negative one, and text that looks like an integer or a UUID are four kinds of thing."""
    lines = [1, -1, "1", UUID, 2**64 - 1]
    source = opened(tmp_path / "f.jsonl", "".join(json.dumps({"id": item}) + "\n" for item in lines))
    assert ids_of(source) == [
        RecordId(IdKind.UINT64, "1"),
        RecordId(IdKind.INT64, "-1"),
        RecordId(IdKind.STRING, "1"),
        RecordId(IdKind.STRING, UUID),
        RecordId(IdKind.UINT64, str(2**64 - 1)),
    ]


def test_text_ids_of_a_qdrant_dump_are_uuids(tmp_path: Path) -> None:
    """Qdrant's own dumps say UUIDs as text, in any spelling."""
    source = opened(tmp_path / "f.json", json.dumps([{"id": UUID.upper()}, {"id": UUID.replace("-", "")[:-1] + "0"}]))
    assert ids_of(source) == [RecordId(IdKind.UUID, UUID), RecordId(IdKind.UUID, UUID[:-1] + "0")]


@pytest.mark.parametrize("bad", ["true", "1.5", "null", "[1]", str(2**64), str(-(2**63) - 1), '"\\ud800"'])
def test_what_cannot_be_an_id_is_refused(tmp_path: Path, bad: str) -> None:
    """Booleans, fractions, null, lists and integers beyond 64 bits are no ids; the line is named."""
    source = opened(tmp_path / "f.jsonl", '{"id": 1}\n{"id": ' + bad + "}\n")
    with pytest.raises(BadRecord, match="line 2"):
        source.count()


def test_named_sparse_and_multi_vectors_are_told_apart(tmp_path: Path) -> None:
    """Each name's kind and dimension are seen from its values; rows may lack some."""
    rows = [
        {"id": 1, "vector": {"a": [1, 2], "s": {"indices": [3, 9], "values": [0.5, 1]}, "m": [[1, 2, 3], [4, 5, 6]]}},
        {"id": 2, "vector": {"m": [], "a": None}},
        {"id": 3, "vector": None},
        {"id": 4},
        {"id": 5, "vector": {"s": {"indices": [], "values": []}}},
    ]
    source = opened(tmp_path / "f.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    schema = source.describe()
    assert {(v.name, v.kind, v.dimension) for v in schema.vectors} == {
        ("a", VectorKind.DENSE, 2),
        ("s", VectorKind.SPARSE, None),
        ("m", VectorKind.MULTI, 3),
    }
    assert schema.missing_vectors == 4
    found = read_all(source)
    kinds = {
        int(key.text): {name: value is not None for name, value in row.vectors.items()} for key, row in found.items()
    }
    assert kinds[1] == {"a": True, "s": True, "m": True}
    assert kinds[2] == {"a": False, "s": False, "m": True}
    assert kinds[3] == kinds[4] == {"a": False, "s": False, "m": False}
    assert kinds[5] == {"a": False, "s": True, "m": False}


def test_numbers_are_read_as_the_nearest_float32_unless_asked_otherwise(tmp_path: Path) -> None:
    """The plan notes that decimal text becomes float32; `?dtype=float64` keeps the double."""
    content = '{"id": 1, "vector": [0.1, -0.0, 5e-324, 16777217]}\n'
    narrow = opened(tmp_path / "f.jsonl", content)
    assert any("nearest float32" in note for note in narrow.describe().notes)
    batch = narrow.fetch(batches.ids_batch([RecordId(IdKind.UINT64, "1")]))
    expected = np.array([0.1, -0.0, 5e-324, 16777217], dtype=np.float32)
    assert batches.dense_column(batch).values.tobytes() == expected.tobytes()
    wide = opened(tmp_path / "f.jsonl", content, "?dtype=float64")
    assert wide.describe().vectors[0].dtype is DType.FLOAT64
    batch = wide.fetch(batches.ids_batch([RecordId(IdKind.UINT64, "1")]))
    assert batches.dense_column(batch).values.tolist() == [[0.1, -0.0, 5e-324, 16777217]]


def test_payload_values_stay_what_they_are(tmp_path: Path) -> None:
    """Integers of any size, floats, NaN as Python writes it, escapes and what looks like our own tag are exact."""
    payload = {
        "big": 2**64,
        "bigger": -(10**30),
        "float": 1.0,
        "tiny": 5e-324,
        "nan": float("nan"),
        "tag": {"$vecferry": ["float", "nan"]},
        "escaped:colon": ":\u003a",
        "lone": "\ud800",
    }
    source = opened(tmp_path / "f.jsonl", json.dumps({"id": 1, "payload": payload}) + "\n")
    found = payload_of(source, RecordId(IdKind.UINT64, "1"))
    assert canonical.encode(found) == canonical.encode(payload)
    assert isinstance(found["big"], int)
    assert isinstance(found["float"], float)


def test_windows_line_ends_blank_lines_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    """A file from another system reads like any other."""
    content = b'\xef\xbb\xbf{"id": 1, "vector": [1]}\r\n\r\n  {"id": 2, "vector": [2]}  \r\n\n'
    source = opened(tmp_path / "f.jsonl", content)
    assert [item.text for item in ids_of(source)] == ["1", "2"]
    assert rows_of([source.fetch(batches.ids_batch(ids_of(source)))]) == read_all(source)


def test_a_page_that_says_more_follows_is_noted(tmp_path: Path) -> None:
    """A dump whose last page is not the last is read, and the plan says so."""
    page = {"result": {"points": [{"id": 1, "vector": [1]}], "next_page_offset": 2}}
    assert any("more points follow" in note for note in opened(tmp_path / "f.json", json.dumps(page)).describe().notes)


def test_values_larger_than_a_block_are_read(tmp_path: Path) -> None:
    """Text of several megabytes, full of brackets and quotes, in one element of one document."""
    nasty = '[{"\\' * 700_000
    rows = [{"id": n, "vector": [n], "payload": {"text": nasty if n == 1 else "x"}} for n in range(3)]
    source = opened(tmp_path / "f.json", json.dumps(rows))
    assert payload_of(source, RecordId(IdKind.UINT64, "1")) == {"text": nasty}
