from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from vecferry import plain
from vecferry.model import (
    CollectionSchema,
    Decision,
    Digest,
    DType,
    Feature,
    Filterable,
    Finding,
    IdKind,
    Level,
    LevelResult,
    LevelState,
    Metric,
    Outcome,
    Receipt,
    RecordId,
    Slice,
    VectorField,
    VectorKind,
    Verdict,
    VerdictState,
)

SCHEMA = CollectionSchema(
    "dócs",
    (VectorField("", VectorKind.DENSE, DType.FLOAT16, 3, Metric.SQUARED_EUCLID), VectorField("s", VectorKind.SPARSE)),
    frozenset(IdKind),
    has_document=True,
    features=(Feature("alias", "live"),),
    mark={"migration": "m-1", "big": 2**70, "deep": {"list": [1, 2.5, None, True]}},
    notes=("one", "two"),
)
EXAMPLES = [
    SCHEMA,
    CollectionSchema("", (), frozenset()),
    RecordId(IdKind.UUID, "00000000-0000-0000-0000-000000000000"),
    Slice(3, {"from": "a", "to": None}, 10),
    Decision("metric", Outcome.LOSSY, "changed", Filterable.LOST, 4, "metric:cosine", "say so"),
    Digest(3, 2**128 - 1),
    Receipt(0, "parts/00000.parquet", 5, 100, "ab", str(Digest(5, 9)), "a", "b"),
    Verdict(
        VerdictState.SAME,
        (LevelResult(Level.IDS, LevelState.VERIFIED, 9, findings=(Finding(Level.IDS, "missing", "x", "id"),)),),
    ),
]


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
def test_every_model_type_comes_back_equal_through_json_text(value: Any) -> None:
    """What is stored as JSON text is read as an equal value of the same types."""
    text = json.dumps(plain.to_plain(value))
    back = plain.from_plain(type(value), json.loads(text))
    assert back == value
    assert plain.to_plain(back) == plain.to_plain(value)
    assert plain.from_json(type(value), plain.to_json(value)) == value


def test_enums_come_back_as_enums_and_tuples_as_tuples() -> None:
    """Reading gives the declared types, not the plain ones."""
    back = plain.from_plain(CollectionSchema, plain.to_plain(SCHEMA))
    assert back.vectors[0].dtype is DType.FLOAT16
    assert type(back.vectors) is tuple
    assert type(back.id_kinds) is frozenset


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": 5}, "name"),
        ({"vectors": [{"dimension": "3"}]}, "vectors.0.dimension"),
        ({"id_kinds": ["uint65"]}, "id_kinds.0"),
        ({"has_document": 1}, "has_document"),
        ({"mark": [1]}, "mark"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_field(change: dict[str, Any], named: str) -> None:
    """Nothing is converted in silence."""
    data = {**plain.to_plain(SCHEMA), **change}
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        plain.from_plain(CollectionSchema, data)


def test_a_missing_field_is_an_error_and_an_unknown_one_is_ignored() -> None:
    """A document of a newer minor version can be read; a cut one cannot."""
    data = plain.to_plain(SCHEMA)
    assert plain.from_plain(CollectionSchema, {**data, "colour": "blue"}) == SCHEMA
    del data["name"]
    with pytest.raises(ValueError, match="name"):
        plain.from_plain(CollectionSchema, data)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, b"bytes", {1: "one"}, object()],
    ids=["nan", "inf", "bytes", "integer key", "object"],
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    """NaN, bytes and keys that are not text never become something else."""
    with pytest.raises((TypeError, ValueError), match="plain form"):
        plain.to_plain({"value": value})


def test_the_text_of_a_set_does_not_depend_on_the_hash_seed() -> None:
    """Two processes write the same text for the same schema."""
    script = (
        "from vecferry import plain; from vecferry.model import *;"
        "print(plain.to_json(CollectionSchema('x', (), frozenset(IdKind))))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
