"""Files that are broken: each gives one error that names the line and what is wrong, and is never half read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores.jsonl.test_dialects import ids_of, opened
from vecferry.address import parse
from vecferry.errors import BadOption, BadRecord, DataDiffer, NotFound, StoreRefused
from vecferry.model import CollectionSchema, IdKind, VectorField
from vecferry.stores import registry

GOOD = '{"id": 1, "vector": [1, 2], "payload": {"a": 1}}\n'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": 2, "vector": [1, 2]', "Expecting"),
        ("not json", "Expecting"),
        ("[1, 2]", "not an object"),
        ('"text"', "not an object"),
        ("null", "not an object"),
        ('{"vector": [1, 2]}', "no id"),
        ('{"id": 2, "vector": [1, 2, 3]}', "3 numbers"),
        ('{"id": 2, "vector": [1, "2"]}', "not a number"),
        ('{"id": 2, "vector": [1, null]}', "not a number"),
        ('{"id": 2, "vector": [1, true]}', "true or false"),
        ('{"id": 2, "vector": [1, 1e39]}', "does not fit float32"),
        ('{"id": 2, "vector": "AAAA"}', "neither a list nor an object"),
        ('{"id": 2, "vector": []}', "0 numbers"),
        ('{"id": 2, "vector": {"": [1, [2]]}}', "not a number"),
        ('{"id": 2, "payload": [1]}', "not an object"),
        ('{"id": 2, "payload": {"a": 1, "a": 2}}', "stands twice"),
        ('{"id": 2, "id": 3}', "stands twice"),
        ('{"id": 2, "payload": {"a": {"b": 1, "\\u0062": 2}, "c": ":\\u003a"}}', "stands twice"),
        ('{"id": 2, "payload": {"a": 1e400}}', "does not fit a double"),
        ('{"id": 2, "document": 5}', "document is not text"),
        ('{"id": 2, "score": 0.5}', "ignore=score"),
        ('{"id": 2, "payload": {"a": "\x01"}}', "control character"),
        ('{"id": "x", "id_kind": "uuid"}', "kind"),
        ('{"id": 2, "payload": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_a_broken_line_is_named_with_its_number(tmp_path: Path, line: str, problem: str) -> None:
    """Reading stops with BadRecord that says which line and what about it."""
    source = opened(tmp_path / "f.jsonl", GOOD + "\n" + line + "\n" + GOOD)
    with pytest.raises(BadRecord, match="line 3") as caught:
        ids_of(source)
    assert problem in str(caught.value)


def test_a_key_that_is_not_moved_can_be_left_behind(tmp_path: Path) -> None:
    """`?ignore=` names keys that stay behind; one that is null needs no naming."""
    source = opened(tmp_path / "f.jsonl", '{"id": 2, "score": {"a:b": 1}, "shard": null}\n', "?ignore=score")
    assert [item.text for item in ids_of(source)] == ["2"]


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    """Text in another encoding is a broken line."""
    source = opened(tmp_path / "f.jsonl", GOOD.encode() + '{"id": "ü"}\n'.encode("latin-1"))
    with pytest.raises(BadRecord, match="line 2"):
        source.count()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_cut_last_line_is_told_apart(tmp_path: Path, cut: int) -> None:
    """A last line that stops in the middle says that the file was not written to its end."""
    source = opened(tmp_path / "f.jsonl", (GOOD + GOOD)[: -1 - cut])
    with pytest.raises(BadRecord, match="line 2: the last line is cut"):
        source.count()


def test_a_last_line_without_a_line_break_is_whole(tmp_path: Path) -> None:
    """A missing line break alone is no damage."""
    assert opened(tmp_path / "f.jsonl", GOOD + GOOD.strip().replace("1", "2", 1)).count() == 2


@pytest.mark.parametrize(
    "content",
    [
        '[{"id": 1, "vector": [1]}, {"id": 2, "vec',
        '[{"id": 1, "vector": [1]}',
        '{"result": {"points": [{"id": 1}, {"id": 2',
        '{"result": {"points": [{"id": 1}]}',
        '{"ids": ["a", "b"], "embeddings": [[1], [2]], "documents": ["x"',
    ],
)
def test_a_cut_document_is_told_apart(tmp_path: Path, content: str) -> None:
    """A document that stops in the middle is refused as such, however much of it was whole."""
    with pytest.raises(BadRecord, match="the file ends"):
        opened(tmp_path / "f.json", content).count()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('[{"id": 1}] trailing', "follows the end"),
        ('[{"id": 1} {"id": 2}]', "expected"),
        ('{"ids": ["a", "b"], "embeddings": [[1]]}', "ids has more"),
        ('{"ids": ["a"], "embeddings": [[1], [2]]}', "more entries than ids"),
        ('{"ids": [["a"]], "documents": [["x"]]}', "the answer of a query"),
        ('{"ids": [1]}', "not text"),
        ('{"ids": ["a"], "uris": ["u"]}', "ignore=uris"),
        ('{"ids": ["a"], "ids": ["b"]}', "stands twice"),
        ('{"ids": ["a"], "metadatas": [{"k": 1, "k": 2}]}', "stands twice"),
        ('{"ids": "a"}', "ids is not a list"),
        ("plain text", "neither an object nor a list"),
    ],
)
def test_a_broken_document_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    """One document of many records is as strict as lines are."""
    with pytest.raises(BadRecord) as caught:
        opened(tmp_path / "f.json", content).count()
    assert problem in str(caught.value)


def test_the_line_in_a_document_is_named(tmp_path: Path) -> None:
    """In a pretty-printed document the error gives the line on which the record starts."""
    source = opened(tmp_path / "f.json", '[\n {"id": 1},\n {"id": 2},\n {"id":\n false}\n]')
    with pytest.raises(BadRecord, match="line 4"):
        source.count()


def test_a_file_that_changes_under_its_slices_is_noticed(tmp_path: Path) -> None:
    """A slice of a file that was written since is DataDiffer, not other rows."""
    source = opened(tmp_path / "f.jsonl", GOOD)
    slices = source.slices(1)
    (tmp_path / "f.jsonl").write_text(GOOD + GOOD)
    with pytest.raises(DataDiffer, match="changed since"):
        list(source.read(slices[0]))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """Opening a file that is not there names it."""
    with pytest.raises(NotFound, match=r"none\.jsonl"):
        registry.open_source(parse(f"jsonl://{tmp_path}/none.jsonl"))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    """A folder in the place of a file is a wrong URL."""
    with pytest.raises(BadOption, match="is a folder"):
        registry.open_source(parse(f"jsonl://{tmp_path}"))


@pytest.mark.parametrize("option", ["dtype=int4", "colour=red"])
def test_unknown_options_are_refused(tmp_path: Path, option: str) -> None:
    """An option that is not known is never ignored."""
    with pytest.raises(BadOption):
        opened(tmp_path / "f.jsonl", GOOD, f"?{option}")


def test_a_file_of_somebody_else_is_never_written(tmp_path: Path) -> None:
    """A file without our mark can be neither created over, nor written, nor dropped."""
    source = opened(tmp_path / "f.jsonl", GOOD)
    target = registry.open_target(parse(source.url))
    batch = next(source.read(source.slices(1)[0]))
    for act in (lambda: target.write(batch), target.begin_load, target.drop, lambda: target.delete(batch)):
        with pytest.raises(StoreRefused, match="was not made by vecferry"):
            act()
    assert (tmp_path / "f.jsonl").read_text() == GOOD
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]


def test_a_published_file_that_is_gone_is_not_an_empty_collection(tmp_path: Path) -> None:
    """When only the mark is left, reading says that the file is gone."""
    address = parse(f"jsonl://{tmp_path}/f.jsonl")
    target = registry.open_target(address)
    schema = CollectionSchema("f", (VectorField(dimension=2),), frozenset({IdKind.UINT64}))
    target.create(schema, {})
    assert target.count() == 0
    with target.bulk_load():
        pass
    address.file.unlink()
    with pytest.raises(NotFound, match="only its mark"):
        target.count()
