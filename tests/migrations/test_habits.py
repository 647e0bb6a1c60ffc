"""Habits of today's tools that this one must not have, each as a test."""

from __future__ import annotations

import json
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings

from tests.support.migrating import Harness, contents
from vecferry.errors import LossRefused, NotFound
from vecferry.model import IdKind
from vecferry.operations.look import preview


def chroma(folder: Path) -> chromadb.ClientAPI:
    """Chroma's own client on a folder."""
    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def collection(folder: Path, space: str = "l2", rows: int = 1200) -> str:
    """A collection of Chroma's own making."""
    client = chroma(folder)
    made = client.create_collection("docs", embedding_function=None, configuration={"hnsw": {"space": space}})
    vectors = np.random.default_rng(1).normal(size=(rows, 4)).astype(np.float32)
    for start in range(0, rows, 500):
        numbers = range(start, min(rows, start + 500))
        made.add(
            ids=[f"{number}" for number in numbers],
            embeddings=vectors[list(numbers)],
            documents=[f"text {number}" for number in numbers],
            metadatas=[{"n": number, "big": 2**53 + 1, "id": f"own {number}", "vector": True} for number in numbers],
        )
    client.close()
    return f"chroma+path://{folder}/docs"


@pytest.mark.slow
def test_not_only_the_last_batch_arrives(harness: Harness, tmp_path: Path) -> None:
    """Every row of every batch arrives, whatever the sizes of batches and slices."""
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    harness.migrate(collection(tmp_path / "chroma"), target, batch_rows=97, slice_rows=251)
    assert len(contents(target)) == 1200


@pytest.mark.parametrize(
    ("space", "metric"),
    [
        ("ip", "dot"),
        pytest.param("l2", "euclid", marks=pytest.mark.slow),
        pytest.param("cosine", "cosine", marks=pytest.mark.slow),
    ],
)
def test_the_metric_is_carried_and_never_guessed(harness: Harness, tmp_path: Path, space: str, metric: str) -> None:
    """The target gets the metric that the source has, in its own words."""
    source = collection(tmp_path / "chroma", space, rows=10)
    ref = harness.migrate(source, f"qdrant+edge://{tmp_path}/edge/docs")
    mapping = harness.ledger.plan(ref.migration)["mapping"]
    assert mapping["vectors"]["steps"][0]["target"]["metric"] == metric


@pytest.mark.slow
def test_no_key_is_dropped_and_no_integer_becomes_a_float(harness: Harness, tmp_path: Path) -> None:
    """Keys named `id` and `vector`, and an integer beyond 2^53, are the same after the way there and back."""
    source, middle, back = (
        collection(tmp_path / "chroma", rows=50),
        f"qdrant+edge://{tmp_path}/edge/docs",
        f"chroma+path://{tmp_path}/back/docs",
    )
    harness.migrate(source, middle, route="there")
    stored = json.loads(next(iter(contents(middle).values())).payload or b"")
    assert stored["big"] == 2**53 + 1
    assert isinstance(stored["big"], int)
    assert {"id", "vector", "n"} <= stored.keys()
    harness.migrate(middle, back, route="back")
    assert contents(back) == contents(source)


def test_a_source_is_never_created_by_opening_it(harness: Harness, tmp_path: Path) -> None:
    """A misspelt collection name is NotFound, and Chroma's own client sees no new collection afterwards."""
    collection(tmp_path / "chroma", rows=3)
    with pytest.raises(NotFound, match="dosc") as caught:
        harness.migrate(f"chroma+path://{tmp_path}/chroma/dosc", f"qdrant+edge://{tmp_path}/edge/docs")
    assert "docs" in caught.value.advice
    client = chroma(tmp_path / "chroma")
    assert [found.name for found in client.list_collections()] == ["docs"]
    client.close()


def test_a_folder_that_does_not_exist_is_not_made(harness: Harness, tmp_path: Path) -> None:
    """Opening a source in a folder that is not there leaves no folder behind."""
    with pytest.raises(NotFound):
        harness.migrate(f"chroma+path://{tmp_path}/nowhere/docs", f"qdrant+edge://{tmp_path}/edge/docs")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow
def test_ids_that_only_look_alike_stay_apart(harness: Harness, tmp_path: Path) -> None:
    """`12` the number, "12" the text and "012" are three ids on any way."""
    points = tmp_path / "points.jsonl"
    ids: list[object] = [12, "12", "012", " 12"]
    lines = [json.dumps({"id": item, "vector": [1.0, float(at)], "payload": {}}) for at, item in enumerate(ids)]
    points.write_text("\n".join(lines) + "\n")
    middle, back = f"qdrant+edge://{tmp_path}/edge/docs", "memory:///alike-back"
    harness.migrate(f"jsonl://{points}", middle, route="there", metric="dot")
    assert len(contents(middle)) == 4
    harness.migrate(middle, back, route="back")
    with_kinds = set(harness.records(back))
    assert with_kinds == {
        (IdKind.UINT64, "12"),
        (IdKind.STRING, "12"),
        (IdKind.STRING, "012"),
        (IdKind.STRING, " 12"),
    }


@pytest.mark.slow
def test_a_document_never_overwrites_a_payload_key(harness: Harness, tmp_path: Path) -> None:
    """Where the payload has the document's key already, the plan refuses and names the option."""
    client = chroma(tmp_path / "chroma")
    made = client.create_collection("docs", embedding_function=None)
    made.add(ids=["a"], embeddings=[[1.0, 2.0]], documents=["the document"], metadatas=[{"text": "a key"}])
    client.close()
    source, target = f"chroma+path://{tmp_path}/chroma/docs", f"qdrant+edge://{tmp_path}/edge/docs"
    with pytest.raises(LossRefused) as caught:
        harness.migrate(source, target)
    assert "--document-field" in caught.value.advice
    harness.migrate(source, target, document_field="body", route="second")
    assert json.loads(next(iter(contents(target).values())).payload or b"")["body"] == "the document"


def test_a_preview_moves_nothing(harness: Harness, tmp_path: Path) -> None:
    """`plan` shows decisions and leaves neither target nor ledger entry."""
    source, target = collection(tmp_path / "chroma", rows=5), f"qdrant+edge://{tmp_path}/edge/docs"
    found = preview(harness.start(source, target) and harness.config(source, target))
    assert {decision.feature for decision in found.mapping.decisions} >= {"ids", "payload", "document"}
    assert not (tmp_path / "edge").exists()
