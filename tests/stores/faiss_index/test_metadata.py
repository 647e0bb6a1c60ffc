"""The JSON beside an index: how its keys name rows, whose id counts, and what of it is told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stores.faiss_index import raw
from vecferry import batch as batches
from vecferry.address import parse
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord, DataDiffer, NotFound, StoreRefused
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.testing.rows import read_all

ROWS = 5
VECTORS = raw.numbers(ROWS)
OWN = [70, 30, -5, 10, 2**62]


def made(folder: Path, metadata: Any = None, words: str = "Flat", ids: Any = None) -> Path:
    """An index, and its metadata as JSON (as they are, if they are text)."""
    path = folder / "docs.index"
    raw.build(path, words, VECTORS, ids)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        path.with_suffix(".json").write_text(text)
    return path


def opened(path: Path, options: str = "") -> Source:
    return registry.open_source(parse(f"faiss://{path}{options}"))


def payloads(source: Source) -> dict[str, bytes | None]:
    return {item.text: row.payload for item, row in read_all(source, slices=2).items()}


def notes(source: Source) -> str:
    return "\n".join(source.describe().notes)


def test_without_metadata_ids_are_row_numbers_and_payloads_empty(tmp_path: Path) -> None:
    """An index alone is a collection, too, and the plan says that there were no metadata."""
    source = opened(made(tmp_path))
    assert payloads(source) == {str(row): b"{}" for row in range(ROWS)}
    assert "no metadata" in notes(source)
    found = source.fetch(batches.ids_batch([RecordId(IdKind.UINT64, "3"), RecordId(IdKind.STRING, "3")]))
    assert [item.text for item in batches.record_ids(found)] == ["3"]


def test_a_pickle_beside_the_index_is_told_and_not_loaded(tmp_path: Path) -> None:
    """LangChain puts its texts into a pickle of the same stem: that is said, and nothing is loaded."""
    path = made(tmp_path)
    path.with_suffix(".pkl").write_bytes(pickle.dumps({"a": 1}))
    assert "docs.pkl beside it is a pickle" in notes(opened(path))


def test_metadata_are_named_by_the_url(tmp_path: Path) -> None:
    """A path in `?metadata=` may be absolute, or start at the folder of the index."""
    path = made(tmp_path)
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / "meta.json"
    other.write_text(json.dumps({"1": {"a": 1}}))
    for name in (other, "more/meta.json"):
        source = opened(path, f"?metadata={name}")
        assert payloads(source)["1"] == b'{"a":1}'
        assert other in {item.file for item in source.files()}
    with pytest.raises(NotFound, match=r"there is no .*absent\.json"):
        opened(path, "?metadata=absent.json").count()


def test_metadata_of_something_else_can_be_left_out(tmp_path: Path) -> None:
    """An empty `?metadata=` takes none, also where a JSON of the same stem is there."""
    path = made(tmp_path, {"title": "about these files"})
    with pytest.raises(BadRecord, match="no key of the metadata names a row, for example title"):
        opened(path).describe()
    assert set(payloads(opened(path, "?metadata=")).values()) == {b"{}"}


def test_rows_without_metadata_and_metadata_without_a_row_are_counted(tmp_path: Path) -> None:
    """Both are told with their number; nothing is invented and nothing is dropped in silence."""
    source = opened(made(tmp_path, {"0": {"a": 1}, "3": {"a": 4}, "5": {"a": 6}, "007": {}, "about": {}}))
    assert payloads(source) == {"0": b'{"a":1}', "1": b"{}", "2": b"{}", "3": b'{"a":4}', "4": b"{}"}
    assert "3 rows have no metadata" in notes(source)
    assert "3 entries of the metadata name no row and are not moved, 007 for one" in notes(source)


def test_own_ids_are_the_keys(tmp_path: Path) -> None:
    """Behind an IDMap the metadata are keyed by the index's own ids, whatever their order."""
    metadata = {str(number): {"own": number} for number in sorted(OWN)}
    source = opened(made(tmp_path, metadata, "IDMap2,Flat", OWN))
    assert payloads(source) == {str(number): b'{"own":%d}' % number for number in OWN}
    assert source.describe().id_kinds == {IdKind.UINT64, IdKind.INT64}


def test_rows_may_be_the_keys_of_an_index_with_own_ids(tmp_path: Path) -> None:
    """Where no key fits, the error says how rows are meant; with ?by=row they are."""
    path = made(tmp_path, {str(row): {"row": row} for row in range(ROWS)}, "IDMap2,Flat", OWN)
    with pytest.raises(BadRecord, match="no key of the metadata names a row") as caught:
        opened(path).describe()
    assert "?by=row" in caught.value.advice
    assert payloads(opened(path, "?by=row")) == {str(own): b'{"row":%d}' % row for row, own in enumerate(OWN)}


def test_lists_keep_no_rows(tmp_path: Path) -> None:
    """In inverted lists with ids of their own the order of adding is lost, so that row numbers name nothing."""
    path = made(tmp_path, {"0": {}}, "IVF2,Flat", OWN)
    with pytest.raises(BadOption, match="keep no order"):
        opened(path, "?by=row").describe()


def test_a_list_of_metadata_is_by_row(tmp_path: Path) -> None:
    """`[{...}, ...]`: entry i belongs to row i, also in inverted lists that are numbered from 0."""
    for words in ("Flat", "IVF2,Flat"):
        source = opened(made(tmp_path, [{"row": row} for row in range(ROWS)], words))
        assert payloads(source) == {str(row): b'{"row":%d}' % row for row in range(ROWS)}


def test_a_list_beside_own_ids_is_ambiguous(tmp_path: Path) -> None:
    """A list may be by row or by id: it is refused until the URL says which."""
    path = made(tmp_path, [{"row": row} for row in range(ROWS)], "IDMap,Flat", OWN)
    with pytest.raises(BadOption, match="the metadata are a list"):
        opened(path).describe()
    assert payloads(opened(path, "?by=row"))["70"] == b'{"row":0}'


def test_a_list_of_another_length_is_told(tmp_path: Path) -> None:
    """Entries that are missing or too many are counted."""
    assert "2 rows have no metadata" in notes(opened(made(tmp_path, [{}] * 3)))
    assert "2 entries of the metadata name no row" in notes(opened(made(tmp_path, [{}] * 7)))


def test_an_id_in_the_metadata_is_the_records_id(tmp_path: Path) -> None:
    """Where FAISS has row numbers only, the key `id` is the record's id, text or integer; other rows keep theirs."""
    source = opened(
        made(tmp_path, {"0": {"id": "doc-1", "a": 1}, "1": {"a": 2}, "2": {"i\\u0064": 9}, "3": {"id": 77}})
    )
    assert read_all(source).keys() == {
        RecordId(IdKind.STRING, "doc-1"),
        RecordId(IdKind.UINT64, "1"),
        RecordId(IdKind.UINT64, "2"),
        RecordId(IdKind.UINT64, "77"),
        RecordId(IdKind.UINT64, "4"),
    }
    assert "the key id of 2 metadata entries is the record's id" in notes(source)
    assert "3 rows have no id in their metadata" in notes(source)
    wanted = [RecordId(IdKind.STRING, "doc-1"), RecordId(IdKind.UINT64, "0"), RecordId(IdKind.UINT64, "77")]
    assert set(batches.record_ids(source.fetch(batches.ids_batch(wanted)))) == {wanted[0], wanted[2]}


def test_an_escaped_key_id_is_an_id(tmp_path: Path) -> None:
    """JSON may spell the key otherwise."""
    source = opened(made(tmp_path, '{"0": {"\\u0069\\u0064": "first"}}'))
    assert RecordId(IdKind.STRING, "first") in read_all(source)


def test_whose_id_counts_can_be_said(tmp_path: Path) -> None:
    """?id=index keeps row numbers and the payload's `id`; ?id=metadata takes it in spite of ids of the index's own."""
    path = made(tmp_path, {"0": {"id": "first"}})
    assert payloads(opened(path, "?id=index"))["0"] == b'{"id":"first"}'
    path = made(tmp_path, {"70": {"id": "first"}}, "IDMap2,Flat", OWN)
    assert payloads(opened(path))["70"] == b'{"id":"first"}'
    assert payloads(opened(path, "?id=metadata"))["first"] == b"{}"


def test_payloads_are_exact(tmp_path: Path) -> None:
    """Large integers, floats, NaN, keys that look like something else: as in any JSON, nothing is rounded."""
    text = '{"0": {"big": 123456789012345678901234567890, "f": 1.0, "nan": NaN, "a:b": ["\\u003a", {}]}, "1": null}'
    found = payloads(opened(made(tmp_path, text)))
    assert found["0"] == (
        b'{"a:b":[":",{}],"big":123456789012345678901234567890,"f":1.0,"nan":{"$vecferry":["float","nan"]}}'
    )
    assert found["1"] == b"{}"


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """Windows editors put one before the text."""
    path = made(tmp_path)
    path.with_suffix(".json").write_bytes(b"\xef\xbb\xbf" + b'{"0": {"a": 1}}\n')
    assert payloads(opened(path))["0"] == b'{"a":1}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither an object of objects nor a list"),
        ("7", "neither an object of objects nor a list"),
        ('{"0": {}', "the file ends too early"),
        ('{"0": {"a": 1', "ends inside a value"),
        ('{"0": {} "1": {}}', "not JSON at byte"),
        ('{"0": {}} {', "goes on after its end"),
        ("{0: {}}", "has no key at byte 1"),
        ('{"0": {}, }', "has no key at byte"),
        ('{"0": {}, "0": {"a": 1}}', "has the key 0 more than once"),
        ('{"0": [1]}', "key 0: its payload is not an object but list"),
        ('{"0": {"a": 1, "a": 2}}', "key 0: the key 'a' stands twice"),
        ('{"0": {"a": nul}}', "key 0"),
        ('{"0": {"id": 1.5}}', "key 0: the id 1.5 is neither text nor an integer"),
        ('{"0": {"id": null}}', "key 0: the id None is neither text nor an integer"),
    ],
)
def test_broken_metadata_are_named(tmp_path: Path, text: str, words: str) -> None:
    """Each kind of damage is one BadRecord that names the file, and the key or byte."""
    path = made(tmp_path, text)
    with pytest.raises(BadRecord, match=words) as caught:
        payloads(opened(path))
    assert "docs.json" in str(caught.value)


def test_a_pickle_is_not_loaded_as_metadata(tmp_path: Path) -> None:
    """A pickle that the URL names is refused."""
    path = made(tmp_path)
    (tmp_path / "docs.pkl").write_bytes(pickle.dumps({"0": {}}))
    with pytest.raises(StoreRefused, match="is a pickle, which is never loaded"):
        opened(path, "?metadata=docs.pkl").describe()


def test_metadata_larger_than_a_block_are_read_by_place(tmp_path: Path) -> None:
    """Entries around and beyond the reader's blocks, in another order than the rows, each find their row."""
    rows = 3000
    vectors = raw.numbers(rows, 2)
    raw.build(tmp_path / "docs.index", "Flat", vectors)
    order = np.random.default_rng(3).permutation(rows).tolist()
    entries = {str(row): {"row": row, "text": '}{][\\"' * (row % 200)} for row in order}
    entries["7"] = {"row": 7, "text": "long " * 500_000}
    (tmp_path / "docs.json").write_text(json.dumps(entries))
    found = payloads(opened(tmp_path / "docs.index"))
    assert {text: json.loads(payload or b"") for text, payload in found.items()} == entries


def test_metadata_that_change_during_a_run_end_it(tmp_path: Path) -> None:
    """A slice notices a change of either file."""
    path = made(tmp_path, {"0": {}})
    source = opened(path)
    part = source.slices(1)[0]
    path.with_suffix(".json").write_text('{"0": {"changed": true}}')
    with pytest.raises(DataDiffer, match="changed since the plan"):
        list(source.read(part))
