"""Snapshots over REST, as a real 1.19 server was recorded to answer them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import UnexpectedResponse

from tests.support.qdrant_server import QdrantTarget
from tests.support_qdrant.helpers import DOT2, alias_to, code_of, message_of, point, put, rows

THREE = [[number, [float(number), 1.0], {"n": number}] for number in range(3)]


@pytest.fixture
def rest(clients: dict[str, QdrantClient], name: str) -> Iterator[QdrantClient]:
    """A client over REST, with three points in the collection `name`; no snapshot of it stays on a real server."""
    client = clients["rest"]
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, *(point(key, tuple(vector), payload) for key, vector, payload in THREE))
    yield client
    for snapshot in client.list_snapshots(name):
        client.delete_snapshot(name, snapshot.name, wait=True)


def made(client: QdrantClient, name: str) -> m.SnapshotDescription:
    found = client.create_snapshot(name, wait=True)
    assert found is not None
    return found


def content(target: QdrantTarget, name: str, snapshot: str) -> httpx.Response:
    headers = {"api-key": target.api_key} if target.api_key else {}
    return httpx.get(f"{target.url}/collections/{name}/snapshots/{snapshot}", headers=headers, timeout=60)


def upload(client: QdrantClient, name: str, body: bytes, **query: object) -> object:
    api = client.http.snapshots_api
    return api.recover_from_uploaded_snapshot(name, wait=True, snapshot=io.BytesIO(body), **query).result  # type: ignore[arg-type]


def test_a_snapshot_is_made_listed_and_deleted_once(rest: QdrantClient, name: str) -> None:
    """Its description is listed as it was answered; deleting it again is not found."""
    snapshot = made(rest, name)
    assert rest.list_snapshots(name) == [snapshot]
    assert snapshot.name.startswith(f"{name}-")
    assert rest.delete_snapshot(name, snapshot.name, wait=True)
    assert rest.list_snapshots(name) == []
    with pytest.raises(UnexpectedResponse) as again:
        rest.delete_snapshot(name, snapshot.name, wait=True)
    assert code_of(again) == 404
    assert f"Not found: Snapshot {snapshot.name} not found" in message_of(again)


def test_the_announced_checksum_is_that_of_the_file(rest: QdrantClient, name: str, target: QdrantTarget) -> None:
    """Size and SHA-256 are true, and an unknown name is 404."""
    snapshot = made(rest, name)
    body = content(target, name, snapshot.name).content
    assert (hashlib.sha256(body).hexdigest(), len(body)) == (snapshot.checksum, snapshot.size)
    assert content(target, name, snapshot.name + "x").status_code == 404


def test_an_uploaded_snapshot_brings_the_points_back(rest: QdrantClient, name: str, target: QdrantTarget) -> None:
    """Into a new collection, and over one with other points, which are gone then."""
    snapshot = made(rest, name)
    body = content(target, name, snapshot.name).content
    other = f"{name}_b"
    assert upload(rest, other, body, checksum=snapshot.checksum, priority=m.SnapshotPriority.SNAPSHOT) is True
    put(rest, other, point(77))
    assert upload(rest, other, body) is True
    assert rows(rest, other) == THREE


def test_a_wrong_checksum_and_a_file_that_is_none_are_refused(
    rest: QdrantClient, name: str, target: QdrantTarget
) -> None:
    """400 for the one, 500 for the other, and no collection is created."""
    body = content(target, name, made(rest, name).name).content
    for sent, query, status in ((body, {"checksum": "0" * 64}, 400), (b"no snapshot", {}, 500)):
        with pytest.raises(UnexpectedResponse) as refused:
            upload(rest, f"{name}_b", sent, **query)
        assert code_of(refused) == status
        assert not rest.collection_exists(f"{name}_b")


def test_a_snapshot_outlives_its_collection(rest: QdrantClient, name: str) -> None:
    """Without the collection it is not listed; a new one of the same name lists it."""
    snapshot = made(rest, name)
    rest.delete_collection(name)
    with pytest.raises(UnexpectedResponse) as gone:
        rest.list_snapshots(name)
    assert code_of(gone) == 404
    rest.create_collection(name, vectors_config=DOT2)
    assert [item.name for item in rest.list_snapshots(name)] == [snapshot.name]


def test_a_snapshot_holds_settings_and_no_alias(rest: QdrantClient, name: str, target: QdrantTarget) -> None:
    """Indexes, metadata and HNSW settings come back with the points; aliases stay where they were."""
    rest.create_payload_index(name, "n", m.PayloadSchemaType.INTEGER, wait=True)
    rest.update_collection(name, metadata={"job": 1}, hnsw_config=m.HnswConfigDiff(m=8))
    rest.update_collection_aliases([alias_to(name, f"{name}_alias")])
    other = f"{name}_b"
    upload(rest, other, content(target, name, made(rest, name).name).content)
    info = rest.get_collection(other)
    assert (list(info.payload_schema), info.config.metadata, info.points_count) == (["n"], {"job": 1}, 3)
    assert info.config.hnsw_config.m == 8
    assert rest.get_collection_aliases(other).aliases == []
