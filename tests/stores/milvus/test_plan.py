"""What the plan does with records that Milvus cannot hold as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.migrating import Harness
from vecferry import address, canonical
from vecferry.ledger import State
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from . import raw


@pytest.fixture
def lines(tmp_path: Path) -> str:
    """Records whose payload keys are names of fields, and values that Milvus does not take."""
    path = tmp_path / "points.jsonl"
    payload: dict[str, Any] = {"title": "one", "words": "text", "id": "mine", "vector": [1], "$meta": {"a": 1}}
    points = [
        {"id": number, "vector": {"": [1.0, number], "words": [number, 2.0]}, "payload": payload | {"n": 2**70}}
        for number in range(12)
    ]
    path.write_text("".join(json.dumps(point) + "\n" for point in points))
    return f"jsonl://{path}"


def test_keys_that_are_names_of_fields_are_put_aside_before_a_record_moves(
    lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such keys, a vector's name among them, and integers beyond int64 go as text to one key, and nothing is lost."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    target = f"milvus+path://{tmp_path}/data/docs"
    harness = Harness(tmp_path)
    ref = harness.migrate(lines, target, metric="dot")
    assert harness.migration(ref).state is State.SWITCHED
    with registry.open_source(address.parse(target)) as source:
        assert {field.name for field in source.describe().vectors} == {"", "words"}
        assert len(read_all(source)) == 12
    with raw.folder_client(tmp_path / "data") as client:
        client.load_collection("docs")
        rows = client.query("docs", filter="id >= 0", output_fields=["*"], limit=100)
    for row in rows:
        aside = canonical.decode(row["vecferry_payload"])
        assert aside.keys() == {"words", "id", "vector", "$meta", "n"}
        assert aside["n"] == 2**70
        assert (row["title"], len(row["words"]), len(row["vector"])) == ("one", 2, 2)
