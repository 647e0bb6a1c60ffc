"""The forms of JSON as targets: held to the suite, with plain Python behind the store's back, and read by content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.jsonl.forms import CONTENT, FORMS, Record, records, written
from tests.support.examples import examples
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.errors import BadOption, BadRecord
from vecferry.model import CollectionSchema, DType, IdKind, VectorField, VectorKind
from vecferry.stores import registry
from vecferry.stores.file_store import mark_path
from vecferry.testing.conformance import Place, RawRow, TargetConformance
from vecferry.testing.rows import read_all, rows_of


class _Form(TargetConformance):
    """Every case of the suite, on files of one form."""

    slices_outlive_writes = False
    dialect: ClassVar[str]

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"jsonl://{quote(str(tmp_path))}/{quote(name)}.json?dialect={self.dialect}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        found = CONTENT[self.dialect](address.file.read_text())
        return {
            str(record.id): RawRow(record.vector, canonical.decode(json.dumps(record.payload)), record.document)
            for record in found
        }


@pytest.mark.slow
class TestQdrantDump(_Form):
    """One answer of Qdrant's scroll."""

    dialect = "qdrant"


@pytest.mark.slow
class TestListOfPoints(_Form):
    """A list of Qdrant's points."""

    dialect = "list"


@pytest.mark.slow
class TestChromaColumns(_Form):
    """The answer of Chroma's get."""

    dialect = "chroma"


@pytest.mark.slow
class TestDataPipes(_Form):
    """Lines of chromadb-data-pipes."""

    dialect = "cdp"


@pytest.mark.parametrize("dialect", FORMS)
@settings(max_examples=examples(25))
@given(data=st.data())
def test_what_a_form_can_say_comes_back(
    dialect: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Ids, vectors, payloads and documents are bit for bit the same: through the mark, by content, for plain Python."""
    rows = data.draw(records(dialect))
    batch, path = written(dialect, rows, tmp_path_factory.mktemp("form") / "f.json")
    with registry.open_source(parse(f"jsonl://{path}")) as source:
        assert rows_of([batch]) == read_all(source, slices=2, batch_rows=2)
    assert {row.bits() for row in CONTENT[dialect](path.read_text())} == {row.bits() for row in rows}
    mark_path(path).unlink()
    asked = "" if rows else f"?dialect={dialect}"
    with registry.open_source(parse(f"jsonl://{path}{asked}")) as source:
        assert source.count() == len(rows)
        if any(row.vector is not None for row in rows):
            assert rows_of([batch]) == read_all(source)


@pytest.mark.parametrize("dialect", FORMS)
def test_a_form_is_remembered_by_the_mark(dialect: str, tmp_path: Path) -> None:
    """An empty collection, whose content tells nothing, is what it was written as; another form is refused."""
    _, path = written(dialect, [], tmp_path / "f.json")
    with registry.open_target(parse(f"jsonl://{path}")) as target:
        words = target.describe().dialect
        assert target.capabilities().engine != "a file of JSON" or dialect == "points"
        assert target.count() == 0
    other = "points" if dialect != "points" else "cdp"
    with pytest.raises(BadOption, match=f"was written as .dialect={dialect}"):
        registry.open_source(parse(f"jsonl://{path}?dialect={other}"))
    with registry.open_source(parse(f"jsonl://{path}?dialect={dialect}")) as source:
        assert source.describe().dialect == words


@pytest.mark.parametrize("dialect", [form for form in FORMS if form != "points"])
def test_a_tag_is_never_written_into_a_form_of_others(dialect: str, tmp_path: Path) -> None:
    """What only vecferry's own tags could say (NaN in a payload) is refused with its id."""
    record_id = "7" if dialect in ("chroma", "cdp") else 7
    with pytest.raises(BadRecord, match=r"7.* holds what .* cannot say"):
        written(dialect, [Record(record_id, [1.0, 2.0], {"a": float("nan")})], tmp_path / "f.json")


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.UINT8])
def test_small_numbers_of_a_dump_keep_their_type(dtype: DType, tmp_path: Path) -> None:
    """The mark beside a dump knows the type that JSON has no word for."""
    target = registry.open_target(parse(f"jsonl://{tmp_path}/f.json?dialect=qdrant"))
    field = VectorField("", VectorKind.DENSE, dtype, 3)
    target.create(CollectionSchema("f", (field,), frozenset({IdKind.UINT64})), {})
    values = np.array([[1, 2, 255], [0, 7, 9]]).astype(dtype.value)
    batch = batches.make(
        ["1", "2"],
        IdKind.UINT64,
        vectors={"": batches.dense_array(values)},
        documents=[None, None],
        payloads=[b"{}", b"{}"],
    )
    target.write(batch)
    with registry.open_source(parse(f"jsonl://{tmp_path}/f.json")) as source:
        assert source.describe().vectors == (field,)
        assert read_all(source) == rows_of([batch])


def test_points_of_a_dump_are_whole_for_qdrant(tmp_path: Path) -> None:
    """Each point has id, payload and vector, as an upsert wants them; one without a vector has an empty object."""
    rows = [Record(1, [0.5, 2], {}), Record(2, None, {"a": None})]
    _, path = written("qdrant", rows, tmp_path / "f.json")
    answer = json.loads(path.read_text())
    assert answer["result"]["points"] == [
        {"id": 1, "payload": {}, "vector": [0.5, 2.0]},
        {"id": 2, "payload": {"a": None}, "vector": {}},
    ]
    assert answer["result"]["next_page_offset"] is None


def test_columns_are_what_chroma_takes(tmp_path: Path) -> None:
    """The document is the arguments of Chroma's `add`: no empty metadata, none where a record has no document."""
    rows = [Record("a", [0.5, 2], {}, None), Record("b", [1.5, 3], {"k": [1, 2]}, "")]
    _, path = written("chroma", rows, tmp_path / "f.json")
    assert json.loads(path.read_text()) == {
        "ids": ["a", "b"],
        "embeddings": [[0.5, 2.0], [1.5, 3.0]],
        "documents": [None, ""],
        "metadatas": [None, {"k": [1, 2]}],
    }


def test_unknown_forms_are_refused(tmp_path: Path) -> None:
    """A form that is not known is named, with those that are."""
    with pytest.raises(BadOption, match="dialect=xml") as caught:
        registry.open_target(parse(f"jsonl://{tmp_path}/f?dialect=xml"))
    assert "points, qdrant, list, chroma, cdp" in caught.value.advice
