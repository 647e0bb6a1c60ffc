"""Answers of a server read from their bytes, and both readers beside each other: they must tell the same records."""

from __future__ import annotations

import contextlib
import struct
import threading
from typing import Any
from uuid import uuid4

import numpy as np
import orjson
import pyarrow as pa
import pytest
from chromadb.base_types import SparseVector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.support.chroma_gate import ChromaGate
from tests.support.chroma_server import ChromaServer
from tests.support.examples import examples
from vecferry import batch as batches
from vecferry.address import parse
from vecferry.contract import Reader, Source
from vecferry.model import ALL_PARTS, Part
from vecferry.stores import registry
from vecferry.stores.chroma.answers import parse_answer
from vecferry.stores.chroma.in_flight import in_order

from . import folders

DIMENSION = 3
QUICK = settings(max_examples=examples(5), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

floats32 = some.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = some.lists(floats32, min_size=DIMENSION, max_size=DIMENSION)
hostile = some.sampled_from(['"embeddings":[[', '],["embeddings":[[1.0]]', "\\", '"', "]]", "null", "漢字🦜", "#type"])
texts = some.one_of(some.text(some.characters(exclude_categories=["Cs"]), max_size=8), hostile)
keys = some.text("abcdef", min_size=1, max_size=3)
values = some.one_of(
    texts, some.booleans(), some.integers(-(2**63), 2**63 - 1), some.floats(allow_nan=False, allow_infinity=False)
)
rows = some.tuples(vectors, some.none() | texts, some.dictionaries(keys, values, min_size=1, max_size=4))
collections = some.dictionaries(texts.filter(bool), rows, min_size=1, max_size=8)


def plain(content: bytes) -> dict[str, Any]:
    """An answer as orjson alone parses it."""
    found: dict[str, Any] = orjson.loads(content)
    if found["embeddings"] is not None:
        found["embeddings"] = np.array(found["embeddings"], dtype=np.float32)
    return found


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert {name: ours[name] for name in ours if name != "embeddings"} == {
        name: theirs[name] for name in theirs if name != "embeddings"
    }
    if theirs["embeddings"] is None:
        assert ours["embeddings"] is None
    else:
        left, right = (np.array(answer["embeddings"], dtype=np.float32) for answer in (ours, theirs))
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()


# The bytes


def shortest(number: float) -> str:
    """The shortest decimal text of a float32, as Rust writes it."""
    return str(np.float32(number)).replace("inf", "null").replace("nan", "null")


@given(collections, some.booleans())
@settings(max_examples=examples(25), deadline=None)
def test_an_answer_says_what_its_json_says(content: dict[str, Any], documents_first: bool) -> None:
    """Whatever ids and texts hold, columns come in any order, and numbers are float32 to the bit."""
    listed = ",".join(f"[{','.join(map(shortest, row[0]))}]" for row in content.values())
    columns = [
        b'"embeddings":[%s]' % listed.encode(),
        b'"documents":' + orjson.dumps([row[1] for row in content.values()]),
        b'"metadatas":' + orjson.dumps([row[2] for row in content.values()]),
    ]
    ordered = reversed(columns) if documents_first else columns
    text = b'{"ids":' + orjson.dumps(list(content)) + b"," + b",".join(ordered) + b',"include":[]}'
    found = parse_answer(text)
    assert isinstance(found["embeddings"], np.ndarray)
    assert_same(found, plain(text))


@given(some.lists(some.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_every_float32_survives_its_decimal_text(bits: list[int]) -> None:
    """Random bit patterns, subnormal ones and -0.0 among them, come back as they were; what is no number is NaN."""
    numbers = np.array([*bits, 0x80000000, 1], dtype=np.uint32).view(np.float32)
    text = ",".join(map(shortest, numbers)).encode()
    found = parse_answer(b'{"ids":["a"],"embeddings":[[' + text + b"]]}")["embeddings"][0]
    finite = np.isfinite(numbers)
    assert found[finite].tobytes() == numbers[finite].tobytes()
    assert np.isnan(found[~finite]).all()


@pytest.mark.parametrize(
    "embeddings",
    ["null", "[]", "[[]]", "[[1.0,2.0],[3.0,4.0]]", "[ [1.0, 2.0] ]", "[null]", '[["1.0",2.0]]', "[[1.0,2."],
)
def test_an_odd_answer_is_read_as_the_client_reads_it(embeddings: str) -> None:
    """Where vectors are missing, more than ids, or written in another way, the whole is parsed as JSON, or refused."""
    text = b'{"ids":["a"],"embeddings":' + embeddings.encode() + b',"documents":["d"]}'
    try:
        expected = orjson.loads(text)
    except orjson.JSONDecodeError:
        with pytest.raises(orjson.JSONDecodeError):
            parse_answer(text)
        return
    assert parse_answer(text) == expected


def test_sparse_vectors_in_metadata_are_what_the_client_makes_of_them() -> None:
    """Chroma Cloud's sparse vectors become the client's own type, which has no JSON form, in either reader."""
    text = (
        b'{"ids":["a"],"embeddings":[[1.0]],"metadatas":[{"s":{"#type":"sparse_vector","indices":[1],"values":[2.0]}}]}'
    )
    assert parse_answer(text)["metadatas"] == [{"s": SparseVector([1], [2.0])}]


# Both readers


def table(source: Source, parts: frozenset[Part] = ALL_PARTS) -> pa.Table:
    """Everything that a reader gives, in the order of ids."""
    found = [batch for part in source.slices(2) for batch in source.read(part, parts, 3)]
    return pa.Table.from_batches(found).combine_chunks().sort_by(batches.ID)


def write(client: Any, name: str, content: dict[str, Any]) -> None:
    """With Chroma's client alone, which takes documents for all of its records or for none."""
    collection = client.create_collection(name, embedding_function=None)
    for has_document in (True, False):
        some_ids = [text for text, row in content.items() if (row[1] is not None) is has_document]
        vectors, documents, metadatas = ([content[text][column] for text in some_ids] for column in range(3))
        if some_ids:
            collection.add(
                ids=some_ids, embeddings=vectors, documents=documents if has_document else None, metadatas=metadatas
            )


def bits(found: pa.Table) -> list[bytes]:
    vectors = found.column(batches.column_name("")).combine_chunks()
    return [struct.pack(f"<{DIMENSION}f", *row) for row in vectors.to_pylist()]


def assert_equal_batches(fast: Source, public: Source) -> None:
    ours, theirs = table(fast), table(public)
    assert ours.schema == theirs.schema
    others = [name for name in ours.column_names if name != batches.column_name("")]
    assert ours.select(others).equals(theirs.select(others))
    assert bits(ours) == bits(theirs)
    assert table(fast, frozenset({Part.PAYLOAD})).equals(table(public, frozenset({Part.PAYLOAD})))


@given(content=collections)
@QUICK
def test_both_readers_of_a_server_give_equal_batches(chroma: ChromaServer, content: dict[str, Any]) -> None:
    """Random records written by the client alone are the same to the bit through the fast and the public reader."""
    name = f"c-{uuid4().hex}"
    with contextlib.closing(chroma.client()) as client:
        write(client, name, content)
    address = parse(f"{chroma.url}/{name}")
    with registry.open_source(address) as fast, registry.open_source(address, Reader.PUBLIC) as public:
        assert_equal_batches(fast, public)


@given(content=collections)
@QUICK
def test_both_readers_of_a_folder_give_equal_batches(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    """The folder read directly and through Chroma's engine tells the same records to the bit."""
    folder = tmp_path_factory.mktemp("folder")
    with folders.client(folder) as client:
        write(client, "docs", content)
    address = parse(f"chroma+path://{folder}/docs")
    with registry.open_source(address) as fast:
        direct, payloads = table(fast), table(fast, frozenset({Part.PAYLOAD}))
    with registry.open_target(address, Reader.PUBLIC) as public:
        assert table(public, frozenset({Part.PAYLOAD})).equals(payloads)
        shown = table(public)
    others = [name for name in direct.column_names if name != batches.column_name("")]
    assert direct.select(others).equals(shown.select(others))
    assert bits(direct) == bits(shown)


def test_the_fast_reader_is_used_once_it_was_right(chroma: ChromaServer) -> None:
    """Before the first page, a few records are asked for by the client and by bytes; from then on bytes are read."""
    name = f"c-{uuid4().hex}"
    with contextlib.closing(chroma.client()) as client:
        write(client, name, {str(row): ([float(row)] * DIMENSION, None, {"n": row}) for row in range(10)})
    with ChromaGate(chroma.port) as gate, registry.open_source(parse(gate.url(name))) as source:
        everything = batches.ids_of(pa.concat_batches(list(source.read(*source.slices(1), frozenset()))))
        for requests in (3, 1, 1):
            gate.paths.clear()
            assert source.fetch(everything).num_rows == 10
            assert sum(path.endswith("/get") for path in gate.paths) == requests
        assert source._connection()._reader_is_right is True  # type: ignore[attr-defined]


def test_a_fast_reader_that_differs_is_left_alone(chroma: ChromaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a server write its answers in a way that the bytes mislead, the client's own reading is taken."""
    name = f"c-{uuid4().hex}"
    with contextlib.closing(chroma.client()) as client:
        write(client, name, {str(row): ([float(row)] * DIMENSION, None, {"n": row}) for row in range(10)})

    def misled(content: bytes) -> dict[str, Any]:
        return parse_answer(content.replace(b"1.0", b"9.0"))

    monkeypatch.setattr("vecferry.stores.chroma.answers.parse_answer", misled)
    address = parse(f"{chroma.url}/{name}")
    with registry.open_source(address) as source, registry.open_source(address, Reader.PUBLIC) as public:
        assert_equal_batches(source, public)
        assert source._connection()._reader_is_right is False  # type: ignore[attr-defined]


# Pages on their way


def test_answers_come_in_order_and_no_more_are_asked_for_than_wanted() -> None:
    """The first answer is given while two are asked for; the slowest does not change the order."""
    asked: list[int] = []
    first_may_end = threading.Event()

    def ask(number: int) -> int:
        asked.append(number)
        if number == 0:
            assert first_may_end.wait(10)
        elif number == 1:
            first_may_end.set()
        return number

    with contextlib.closing(in_order(ask, range(100), 2)) as answers:
        assert [next(answers) for _ in range(3)] == [0, 1, 2]
    assert max(asked) <= 5


def test_an_error_is_raised_in_its_turn() -> None:
    """What was before it comes; nothing behind it does."""

    def ask(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    answers = in_order(ask, range(100), 2)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(answers)
    assert list(answers) == []
