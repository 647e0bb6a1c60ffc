"""The pure parts of the Chroma stores: payload checks, request sizes, ranges of ids, the metric from a distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vecferry import canonical
from vecferry.errors import BadRecord, NotFound, RetryLater, StoreRefused, TargetNotEmpty, VecferryError
from vecferry.stores.chroma import replacing
from vecferry.stores.chroma.checks import possible_name
from vecferry.stores.chroma.failures import LostVector, failure
from vecferry.stores.chroma.payloads import Unfit, metadata_values, payload_texts
from vecferry.stores.chroma.schema import nearest_space, settle_space
from vecferry.stores.chroma.slicing import IdList


def column(*payloads: Mapping[str, Any]) -> pa.StringArray:
    return pa.array(canonical.encode_many(payloads), pa.binary()).cast(pa.string())


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"key": [1.0, float("nan")]}, "NaN"),
        ({"key": float("inf")}, "NaN or infinity"),
        ({"key": [1, 2.5]}, "different types"),
        ({"key": [True, 1]}, "different types"),
        ({"key": []}, "empty list"),
        ({"key": [["a"]]}, "list, which"),
        ({"key": {"inner": 1}}, "dict, which"),
        ({"key": None}, "NoneType, which"),
        ({"key": -0.0}, "-0.0"),
        ({"key": [1.5, -0.0]}, "-0.0"),
        ({"key": 2**63}, "beyond int64"),
        ({"key": -(2**63) - 1}, "beyond int64"),
        ({"key": b"bytes"}, "bytes, which"),
        ({"key": "\ud800"}, "surrogate"),
        ({"key \ud800": 1}, "surrogate"),
        ({"": 1}, "empty key"),
        ({"#key": 1}, "begins with #"),
        ({"$key": 1}, r"begins with \$"),
        ({"chroma:document": "text"}, "keeps documents"),
        ({"chroma:other": "text"}, "stores and hides"),
        ({"chroma:uri": 7}, "stores and hides"),
    ],
)
def test_a_payload_that_chroma_would_change_is_named(payload: dict[str, Any], reason: str) -> None:
    """What Chroma drops, changes or chokes on is refused with its row and reason."""
    with pytest.raises(Unfit, match=reason) as raised:
        metadata_values(column({"fine": 1}, {"fine": 1, **payload}))
    assert raised.value.row == 1


def test_payloads_that_fit_come_back_the_same() -> None:
    """Every type that Chroma keeps, and text that looks like what it does not, passes through metadata unchanged."""
    payloads: list[dict[str, Any]] = [
        {},
        {"text": "", "integer": -(2**63), "large": 2**63 - 1, "float": 1e300, "flag": False},
        {"texts": ["a", ""], "integers": [1, 2**53 + 1], "floats": [1.0, 0.5], "flags": [True]},
        {"looks": 'null [] {"$vecferry": 1} -0.0 "#a": "chroma:x": "": 12345678901234567890', "a#b$": "chroma:"},
        {"n": 1, "chroma:uri": "http://x"},
    ]
    values, uris = metadata_values(column(*payloads))
    assert uris == [None, None, None, None, "http://x"]
    assert values[4] == {"n": 1}
    assert payload_texts(values, uris).equals(column(*payloads))


def test_a_value_without_a_json_form_is_named() -> None:
    """A sparse vector in metadata, as Chroma Cloud has them, is an error with its row."""
    with pytest.raises(Unfit, match="'sparse' is of the type complex") as raised:
        payload_texts([None, {"sparse": 1j}], [None, None])
    assert raised.value.row == 1


def test_requests_keep_to_rows_and_bytes() -> None:
    """Batches are cut by both limits; a record beyond the bytes goes alone; nothing is left out."""
    third = 12 << 20
    sizes = np.array([third, third, third, 100 << 20, 1, 1, 1, 1], dtype=np.int64)
    found = [(cut.start, cut.stop) for cut in replacing.cuts(sizes, 3)]
    assert found == [(0, 2), (2, 3), (3, 4), (4, 7), (7, 8)]
    assert list(replacing.cuts(sizes[:0], 3)) == []


def test_ranges_of_ids_cover_every_text() -> None:
    """Ranges touch each other, are open at both ends, hold each id once in UTF-8 order, and stay when ids come."""
    ids = ["b", "a", "\U0001f6a2", "\uffff", "z", "", "10", "9"]
    listed = IdList(ids)
    slices = listed.slices(3)
    assert [part.rows for part in slices] == [2, 3, 3]
    assert (slices[0].bounds["from"], slices[-1].bounds["to"]) == (None, None)
    more = IdList([*ids, "aa", "0", "\U0010ffff"])
    found = [text for part in slices for text in more.within(part.bounds, "url").to_pylist()]
    assert found == sorted([*ids, "aa", "0", "\U0010ffff"], key=str.encode)
    assert len(listed.slices(1000)) == len(ids)
    assert IdList([]).slices(4)[0].bounds == {"from": None, "to": None}


def test_bounds_of_another_reader_are_refused() -> None:
    """A slice that was made by the direct reader is not taken for a range of ids."""
    with pytest.raises(BadRecord, match="cannot read the slice"):
        IdList(["a"]).within({"first": 0, "last": 9}, "url")


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_a_distance_tells_the_metric(space: str) -> None:
    """The metric whose distance is the nearest to the one said is found, rounding notwithstanding."""
    query, stored = np.array([0.5, 1.0, 2.0]), np.array([-1.0, 0.25, 0.7])
    cosine = 1 - query @ stored / (np.linalg.norm(query) * np.linalg.norm(stored))
    distances = {"l2": ((query - stored) ** 2).sum(), "ip": 1 - query @ stored, "cosine": cosine}
    assert nearest_space(query, stored, float(np.float32(distances[space]))) == space


def test_an_empty_collection_of_an_old_chroma_has_the_metric_of_its_metadata() -> None:
    """Nothing can be asked there: l2 in the configuration gives way to `hnsw:space`, other metrics do not."""
    legacy = {"hnsw:space": "cosine"}
    assert settle_space("c", {"hnsw": {"space": "l2"}}, legacy, lambda: None) == "cosine"
    assert settle_space("c", {"hnsw": {"space": "ip"}}, legacy, lambda: None) == "ip"
    assert settle_space("c", {"hnsw": None, "spann": {"space": "cosine"}}, None, lambda: None) == "cosine"
    assert settle_space("c", {}, None, lambda: None) == "l2"
    with pytest.raises(StoreRefused, match="'jaccard'"):
        settle_space("c", {"hnsw": {"space": "jaccard"}}, None, lambda: None)


@pytest.mark.parametrize("name", ["abc", "a.b_c-9", "007", "a" * 512])
def test_names_within_the_rule_of_chroma_are_possible(name: str) -> None:
    """3 to 512 plain characters, a letter or digit at both ends, no two dots in a row."""
    assert possible_name(name)


@pytest.mark.parametrize(
    "name", ["", "ab", "a" * 513, "a..b", "-abc", "abc.", "a b c", "abc\n", "äbc", "a/b", "records/count"]
)
def test_other_names_are_not(name: str) -> None:
    """Too short, too long, other characters: no collection can bear them, and no server is asked."""
    assert not possible_name(name)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (401, "who are you", StoreRefused),
        (403, "Forbidden", StoreRefused),
        (404, "", NotFound),
        (400, "Database [d] does not exist", NotFound),
        (409, "exists", TargetNotEmpty),
        (500, "Collection [x] already exists", TargetNotEmpty),
        (400, "quota", StoreRefused),
        (413, "too large", StoreRefused),
        (429, "slow down", RetryLater),
        (408, "", RetryLater),
        (500, "Internal error", RetryLater),
        (503, "", RetryLater),
        (500, "database or disk is full", StoreRefused),
        (500, "Error executing plan: Error finding id", LostVector),
        (500, "Error sending message to compactor", StoreRefused),
    ],
)
def test_answers_become_errors_by_what_must_be_done(status: int, text: str, kind: type[VecferryError]) -> None:
    """What may pass is retried, a key or a limit is refused, and each error names the store."""
    error = failure("chroma://host/c", status, text)
    assert type(error) is kind
    assert "chroma://host/c" in str(error)
    assert error.advice or status in (400, 413)
