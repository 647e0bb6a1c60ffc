"""One 2-D array with a JSONL beside it, as NumPy and plain Python write them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord, DataDiffer, NotFound, StoreRefused
from vecferry.model import CollectionSchema, DType, IdKind, RecordId, VectorField
from vecferry.stores import registry
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all

ROWS, DIMENSION = 45, 6
MATRIX = np.random.default_rng(1).standard_normal((ROWS, DIMENSION)).astype(np.float32)
PAYLOADS: list[dict[str, Any]] = [{"n": n, "text": f'quo"te: {n}', "nested": {"list": [n, None]}} for n in range(ROWS)]


def write_lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def opened(path: Path, options: str = "") -> Source:
    return registry.open_source(parse(f"numpy://{path}{options}"))


def matrix_of(source: Source) -> Any:
    found = [batches.dense_column(b).values for part in source.slices(3) for b in source.read(part, batch_rows=7)]
    return np.concatenate(found)


class _Flat(SourceConformance):
    """The reading half of the suite; the forms differ in how the array lies in its file."""

    name = "vectors.npy"

    def save(self, path: Path) -> None:
        np.save(path, MATRIX)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"numpy://{tmp_path}/{name.replace(' ', '_')}/{self.name}")

    @pytest.fixture
    def expected(self, address):  # type: ignore[no-untyped-def]
        address.file.parent.mkdir()
        self.save(address.file)
        write_lines(address.file.with_suffix(".jsonl"), [{**p, "id": f"id {p['n']}"} for p in PAYLOADS])
        return batches.make(
            [f"id {n}" for n in range(ROWS)],
            IdKind.STRING,
            vectors={"": batches.dense_array(MATRIX)},
            documents=[None] * ROWS,
            payloads=[canonical.encode(payload) for payload in PAYLOADS],
        )


class TestRowOrder(_Flat):
    """As np.save writes it."""


class TestFortranOrder(_Flat):
    """Column by column."""

    def save(self, path: Path) -> None:
        np.save(path, np.asfortranarray(MATRIX))


class TestBigEndian(_Flat):
    """Numbers in the other byte order are read as the same numbers."""

    def save(self, path: Path) -> None:
        np.save(path, MATRIX.astype(">f4"))


class TestZip(_Flat):
    """An array stored in a .npz file."""

    name = "vectors.npz"

    def save(self, path: Path) -> None:
        np.savez(path, vectors=MATRIX)


class TestCompressedZip(_Flat):
    """An array compressed in a .npz file."""

    name = "vectors.npz"

    def save(self, path: Path) -> None:
        np.savez_compressed(path, vectors=np.asfortranarray(MATRIX))


@pytest.mark.parametrize("dtype", DType)
def test_every_dtype_is_read_as_it_is(tmp_path: Path, dtype: DType) -> None:
    """float16, float32, float64, uint8 and int8 keep their type and their bits."""
    values = (MATRIX * 100).astype(np.int64).astype(dtype.value)
    np.save(tmp_path / "v.npy", values)
    source = opened(tmp_path / "v.npy")
    assert source.describe().vectors[0].dtype is dtype
    assert matrix_of(source).tobytes() == values.tobytes()


def test_without_lines_the_row_number_is_the_id(tmp_path: Path) -> None:
    """An array alone gives uint64 ids and empty payloads, and fetches by row number."""
    np.save(tmp_path / "v.npy", MATRIX)
    source = opened(tmp_path / "v.npy")
    assert set(read_all(source)) == {RecordId(IdKind.UINT64, str(n)) for n in range(ROWS)}
    ids = [RecordId(IdKind.UINT64, "7"), RecordId(IdKind.UINT64, str(ROWS)), RecordId(IdKind.STRING, "8")]
    found = source.fetch(batches.ids_batch(ids))
    assert batches.record_ids(found) == ids[:1]
    assert batches.dense_column(found).values.tobytes() == MATRIX[7].tobytes()


def test_lines_without_an_id_take_the_row_number(tmp_path: Path) -> None:
    """Where some lines have an id and some do not, the plan says how many of each."""
    np.save(tmp_path / "v.npy", MATRIX[:3])
    write_lines(tmp_path / "v.jsonl", [{"a": 1}, {"id": "x", "a": 2}, {"id": 77}])
    source = opened(tmp_path / "v.npy")
    assert set(read_all(source)) == {
        RecordId(IdKind.UINT64, "0"),
        RecordId(IdKind.STRING, "x"),
        RecordId(IdKind.UINT64, "77"),
    }
    notes = " ".join(source.describe().notes)
    assert "2 lines is the record's id" in notes
    assert "1 lines have no id" in notes


def test_nan_and_infinity_are_data(tmp_path: Path) -> None:
    """Files keep them, so they are read; whether a target takes them is the plan's business."""
    values = MATRIX.copy()
    values[3, 1], values[4, 2] = np.nan, -np.inf
    np.save(tmp_path / "v.npy", values)
    assert matrix_of(opened(tmp_path / "v.npy")).tobytes() == values.tobytes()


def test_an_array_among_several_is_chosen(tmp_path: Path) -> None:
    """A .npz with several arrays needs `?array=`, and says which there are."""
    np.savez(tmp_path / "v.npz", vectors=MATRIX, other=MATRIX[:1])
    with pytest.raises(BadOption, match="several arrays") as caught:
        opened(tmp_path / "v.npz").count()
    assert "other, vectors" in caught.value.advice
    with pytest.raises(BadOption, match="no array 'none'"):
        opened(tmp_path / "v.npz", "?array=none").count()
    assert opened(tmp_path / "v.npz", "?array=vectors").count() == ROWS


def test_an_array_without_rows_is_an_empty_collection(tmp_path: Path) -> None:
    """`(0, dim)` has a dimension and no record."""
    np.save(tmp_path / "v.npy", MATRIX[:0])
    (tmp_path / "v.jsonl").write_text("")
    source = opened(tmp_path / "v.npy")
    assert source.count() == 0
    assert source.describe().vectors[0].dimension == DIMENSION


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.array([[{}], [None]], dtype=object), "pickled"),
        (np.zeros((3, 2), dtype=np.int64), "holds int64"),
        (np.zeros((3, 2), dtype=bool), "holds bool"),
        (np.zeros((3, 2), dtype=np.complex64), "holds complex64"),
        (np.zeros(3, dtype=[("a", "f4")]), "holds"),
        (np.zeros(3, dtype=np.float32), "two dimensions"),
        (np.zeros((3, 2, 2), dtype=np.float32), "two dimensions"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, values: Any, problem: str) -> None:
    """Objects are never unpickled; other types and shapes are refused in words."""
    np.save(tmp_path / "v.npy", values, allow_pickle=True)
    with pytest.raises(BadRecord, match=problem):
        opened(tmp_path / "v.npy").count()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[:-1], "is cut"),
        (lambda content: content + b"\0", "its header says"),
        (lambda content: content[:20], "no readable .npy header"),
        (lambda content: b"", "no readable .npy header"),
        (lambda content: b"PK" + content[2:], "no readable .npy header"),
        (lambda content: content.replace(b"'shape': (45", b"'shape': (46"), "is cut"),
        (lambda content: content[:6] + b"\x09" + content[7:], "version"),
    ],
)
def test_a_damaged_array_is_refused(tmp_path: Path, change: Any, problem: str) -> None:
    """The header is checked against the size of the file before anything is read."""
    np.save(tmp_path / "v.npy", MATRIX)
    (tmp_path / "v.npy").write_bytes(change((tmp_path / "v.npy").read_bytes()))
    with pytest.raises(BadRecord, match=problem):
        opened(tmp_path / "v.npy").count()


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    """A cut .npz, and one whose bytes were changed, are named."""
    np.savez_compressed(tmp_path / "v.npz", vectors=MATRIX)
    content = bytearray((tmp_path / "v.npz").read_bytes())
    (tmp_path / "v.npz").write_bytes(content[:-30])
    with pytest.raises(BadRecord, match=r"readable \.npz"):
        opened(tmp_path / "v.npz").count()
    content[200] ^= 0xFF
    (tmp_path / "v.npz").write_bytes(content)
    with pytest.raises(BadRecord, match=r"readable \.npz"):
        opened(tmp_path / "v.npz").count()


@pytest.mark.parametrize("lines", [ROWS - 1, ROWS + 1])
def test_lines_and_rows_must_be_as_many(tmp_path: Path, lines: int) -> None:
    """Both numbers are named."""
    np.save(tmp_path / "v.npy", MATRIX)
    write_lines(tmp_path / "v.jsonl", [{} for _ in range(lines)])
    with pytest.raises(BadRecord, match=f"has {lines} lines, v.npy has {ROWS} rows"):
        opened(tmp_path / "v.npy").count()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "Expecting"),
        ("[1]", "not a JSON object"),
        ("", "Expecting"),
        ('{"id": 1.5}', "neither text nor an integer"),
        ('{"id": null}', "neither text nor an integer"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": 1e999}', "does not fit"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """File, line number and problem stand in the error."""
    np.save(tmp_path / "v.npy", MATRIX[:3])
    (tmp_path / "v.jsonl").write_text('{"id": 1}\n' + line + '\n{"id": 3}\n')
    with pytest.raises(BadRecord, match=r"v\.jsonl, line 2: .*" + problem):
        opened(tmp_path / "v.npy").count()


def test_an_array_that_changes_under_its_slices_is_noticed(tmp_path: Path) -> None:
    """A slice of files that were written since is DataDiffer."""
    np.save(tmp_path / "v.npy", MATRIX)
    source = opened(tmp_path / "v.npy")
    slices = source.slices(2)
    np.save(tmp_path / "v.npy", MATRIX[:10])
    with pytest.raises(DataDiffer):
        list(source.read(slices[0]))


def test_a_missing_array_is_not_found(tmp_path: Path) -> None:
    """Opening an array that is not there names it."""
    with pytest.raises(NotFound, match=r"v\.npy"):
        opened(tmp_path / "v.npy")


def test_an_array_of_somebody_else_is_never_written(tmp_path: Path) -> None:
    """Without our mark nothing is written, dropped or created over, a lone JSONL of that stem included."""
    np.save(tmp_path / "v.npy", MATRIX)
    before = hashlib.sha256((tmp_path / "v.npy").read_bytes()).hexdigest()
    target = registry.open_target(parse(f"numpy://{tmp_path}/v.npy"))
    with pytest.raises(StoreRefused, match="not made by vecferry"):
        target.begin_load()
    with pytest.raises(StoreRefused, match="not made by vecferry"):
        target.drop()
    assert hashlib.sha256((tmp_path / "v.npy").read_bytes()).hexdigest() == before
    (tmp_path / "w.jsonl").write_text("mine")
    assert registry.open_target(parse(f"numpy://{tmp_path}/w.npy")).exists()


def test_a_zip_is_not_written(tmp_path: Path) -> None:
    """A target in .npz form is refused before anything is there."""
    target = registry.open_target(parse(f"numpy://{tmp_path}/v.npz"))
    schema = CollectionSchema("v", (VectorField(dimension=2),), frozenset({IdKind.UINT64}))
    with pytest.raises(StoreRefused, match="not written"):
        target.create(schema, {})
    assert not list(tmp_path.iterdir())


def test_a_payload_key_id_is_refused_on_writing(tmp_path: Path) -> None:
    """In this form `id` is the record's id; the plan moves such a key elsewhere, and a write that has it fails."""
    target = registry.open_target(parse(f"numpy://{tmp_path}/v.npy"))
    assert "id" in target.capabilities().payload.reserved_keys
    target.create(CollectionSchema("v", (VectorField(dimension=2),), frozenset({IdKind.STRING})), {})
    rows = [b'{"deep":{"id":1}}', b'{"id":1}']
    batch = batches.make(
        ["a", "b"],
        IdKind.STRING,
        vectors={"": batches.dense_array(np.ones((2, 2), dtype=np.float32))},
        documents=[None, None],
        payloads=rows,
    )
    target.write(batch.slice(0, 1))
    with pytest.raises(BadRecord, match="record 'b' has a key id"):
        target.write(batch)


def test_what_was_written_is_plain_numpy(tmp_path: Path) -> None:
    """np.load and a line-by-line look show the records as they were written."""
    target = registry.open_target(parse(f"numpy://{tmp_path}/v.npy"))
    target.create(CollectionSchema("v", (VectorField(dimension=2),), frozenset({IdKind.UINT64})), {})
    target.write(
        batches.make(
            ["5"],
            IdKind.UINT64,
            vectors={"": batches.dense_array(np.array([[0.5, -0.0]], dtype=np.float32))},
            documents=[None],
            payloads=[b'{"a":"b"}'],
        )
    )
    assert np.load(tmp_path / "v.npy").tolist() == [[0.5, -0.0]]
    assert (tmp_path / "v.jsonl").read_text() == '{"id":5,"a":"b"}\n'
