"""What a mapping makes of a group's values is known before anything moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.mapping.cases import CHROMA, MILVUS, QDRANT, TARGETS, make_batch, make_schema, mapping_for
from vecferry import canonical
from vecferry.capabilities import FloatText, PayloadType
from vecferry.conditions import Between, Equals, Missing, Others
from vecferry.grouping import not_carried
from vecferry.grouping.encoded import side_key
from vecferry.mapping import Mapping
from vecferry.model import IdKind

FIELD = "workspace_id"
ROUNDED = 632 / 7
"""Chroma and Qdrant store another double."""


def mapping(target: str, *rows: dict[str, Any], **rules: Any) -> Mapping:
    batch = make_batch([(IdKind.UINT64, str(at)) for at in range(len(rows))], list(rows)) if rows else None
    return mapping_for(make_schema(IdKind.UINT64), batch, TARGETS[target], **rules)


def equals(value: Any) -> Equals:
    return Equals(FIELD, canonical.encode(value).decode())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("value", ["acme", "", 1, True, None, [], ["a"], {"a": 1}, 2**64, -0.0, "x" * 70_000])
def test_values_that_are_put_aside_still_tell_groups_apart(target: str, value: Any) -> None:
    """Values that the target holds, and values that it gets as text beside, come back as they were."""
    assert not_carried([equals(value), Missing(FIELD), Others(FIELD, (equals(value),))], mapping(target)) == ""


@pytest.mark.parametrize("target", ["qdrant", "chroma"])
def test_a_float_that_the_target_rounds_is_no_group(target: str) -> None:
    """A group by a float that the target stores as another one is refused, both values named."""
    told = not_carried([Others(FIELD, (equals(ROUNDED),))], mapping(target))
    assert repr(ROUNDED) in told
    assert FIELD in told
    assert not_carried([equals(0.5)], mapping(target)) == ""
    assert not_carried([equals(ROUNDED)], mapping("milvus")) == ""


def test_a_float_that_would_cross_a_border_is_told() -> None:
    """Ranges of numbers are refused where a float next to a border would be stored on its other side."""
    exact, rounding = mapping("milvus"), mapping("qdrant")
    # Just above is a float that Qdrant stores as the border itself, so a range that starts there loses it.
    crossed = [border for border in (number / 7 for number in range(1, 200)) if _told(border, rounding)]
    assert crossed
    assert "other side" in _told(crossed[0], rounding)
    assert not any(_told(border, exact) for border in crossed)
    assert not_carried([Between(FIELD, "2024-01-01", None)], rounding) == ""
    assert not_carried([Between(FIELD, 10**400, None)], rounding) == ""


def _told(border: float, found: Mapping) -> str:
    return not_carried([Between(FIELD, border, None)], found)


def test_null_that_is_left_out_is_no_group() -> None:
    """Where it was agreed that null is left out, a group of it would become one with the missing: refused."""
    types = MILVUS.payload.types - {PayloadType.NULL}
    target = replace(MILVUS, payload=replace(MILVUS.payload, types=types, removes_null=True))
    rules = {"consent": frozenset({"null_values"})}
    batch = make_batch([(IdKind.UINT64, "1")], [{FIELD: None}])
    agreed = mapping_for(make_schema(IdKind.UINT64), batch, target, **rules)
    assert "null" in not_carried([equals(None)], agreed)
    assert not_carried([equals("acme"), Missing(FIELD)], agreed) == ""
    not_agreed = mapping_for(make_schema(IdKind.UINT64), None, target)
    assert "null" in not_carried([equals(None)], not_agreed)


def test_where_values_are_put_aside_is_known() -> None:
    """The key beside is the mapping's side field; a field that becomes the document stands in no payload."""
    assert side_key(FIELD, mapping("qdrant")) == "vecferry_payload"
    as_document = mapping("chroma", {"text": "a"}, document_field="text")
    assert side_key("text", as_document) == ""
    assert side_key(FIELD, as_document) == "vecferry_payload"


def test_the_capabilities_of_these_tests_round() -> None:
    """The stores of these tests read floats as the real ones do."""
    assert (QDRANT.payload.float_text, CHROMA.payload.float_text) == (FloatText.ONE_PASS, FloatText.TWO_PASSES)
