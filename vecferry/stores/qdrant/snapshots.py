"""Snapshots that a Qdrant server makes of a collection and takes back. Over REST alone: gRPC carries no files.

A snapshot holds one node's part of a collection with its settings, indexes and metadata, and no aliases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from qdrant_client import grpc as official

from vecferry import canonical
from vecferry.contract import Snapshot, Snapshots
from vecferry.errors import BadRecord, DataDiffer, StoreRefused
from vecferry.model import JsonObject
from vecferry.stores.qdrant.connection import Connection, Wire, body_message, server_errors
from vecferry.stores.qdrant.failures import rest_failure
from vecferry.stores.qdrant.server_schema import MARK
from vecferry.stores.staging import sync_file, writing

__all__ = ["ServerSnapshots"]

_BLOCK_BYTES = 1 << 20


class ServerSnapshots(Snapshots):
    """The snapshots of one collection. `wait_s` bounds how long the server may take to make or take back one."""

    def __init__(self, connection: Connection, collection: str, wait_s: float) -> None:
        self.url = connection.endpoint.url
        self._connection, self._collection = connection, collection
        self._path = f"/collections/{quote(collection, safe='')}/snapshots"
        call_s = connection.endpoint.timeout_s
        self._timeout = httpx.Timeout(call_s, read=max(call_s, wait_s), write=max(call_s, wait_s))

    def server_version(self) -> str:
        if self._connection.wire is Wire.GRPC:
            stub: Any = official.QdrantStub  # made by the compiler of the protos, without types
            with server_errors(self.url):
                reply = stub(self._connection.channel).HealthCheck(
                    official.HealthCheckRequest(),
                    timeout=self._connection.endpoint.timeout_s,
                    metadata=self._connection.metadata,
                )
            return str(reply.version)
        return str(self._json(lambda: self._connection.http.get("/"))["version"])

    def make(self) -> Snapshot:
        self._refuse_parts()
        made = self._result(
            lambda: self._connection.http.post(self._path, params={"wait": "true"}, timeout=self._timeout)
        )
        return Snapshot(str(made["name"]), int(made["size"]), made.get("checksum"))

    def _refuse_parts(self) -> None:
        """Shards on other nodes would be missing, and nothing would tell before somebody needs them."""
        shards = self._result(lambda: self._connection.http.get(f"{self._path.removesuffix('/snapshots')}/cluster"))
        elsewhere = shards.get("remote_shards") or []
        if elsewhere:
            raise StoreRefused(
                f"{self.url} has {len(elsewhere)} shards on other nodes, and a snapshot holds those of one node",
                advice="back the collection up as an archive: --method archive",
            )

    def download(self, snapshot: Snapshot, goal: Path) -> None:
        digest = hashlib.sha256()
        place = f"{self._path}/{quote(snapshot.name, safe='')}"
        with server_errors(self.url), self._connection.http.stream("GET", place, timeout=self._timeout) as answer:
            if not answer.is_success:
                raise rest_failure(self.url, answer.status_code, body_message(answer.read()))
            with writing(str(goal)), goal.open("wb") as file:
                for block in answer.iter_bytes(_BLOCK_BYTES):
                    digest.update(block)
                    file.write(block)
        sync_file(goal)
        if goal.stat().st_size != snapshot.size_bytes or snapshot.sha256 not in (None, digest.hexdigest()):
            raise DataDiffer(
                f"{goal} is not the snapshot {snapshot.name} that {self.url} announced",
                advice="make the backup again; a proxy may have cut or changed the file",
            )

    def recover(self, file: Path, sha256: str) -> None:
        # Without the checksum a flipped byte is restored; without the priority a fresh replica of a cluster wins.
        options = {"wait": "true", "priority": "snapshot", "checksum": sha256}
        with file.open("rb") as stream:
            body = {"snapshot": (file.name, stream, "application/octet-stream")}
            done = self._result(
                lambda: self._connection.http.post(
                    f"{self._path}/upload", params=options, files=body, timeout=self._timeout
                )
            )
        if done is not True:
            raise StoreRefused(f"{self.url} did not recover {file.name}: it answers {done!r}")

    def adopt(self, mark: JsonObject) -> None:
        own = {MARK: canonical.encode(dict(mark)).decode()}
        with server_errors(self.url):
            self._connection.client.update_collection(self._collection, metadata=own)

    def delete(self, name: str) -> None:
        place = f"{self._path}/{quote(name, safe='')}"
        self._result(lambda: self._connection.http.delete(place, params={"wait": "true"}))

    def _result(self, ask: Callable[[], httpx.Response]) -> Any:
        return self._json(ask)["result"]

    def _json(self, ask: Callable[[], httpx.Response]) -> dict[str, Any]:
        with server_errors(self.url):
            answer = ask()
        if not answer.is_success:
            raise rest_failure(self.url, answer.status_code, body_message(answer.content))
        try:
            found = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise BadRecord(f"an answer of {self.url} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise BadRecord(f"an answer of {self.url} cannot be read: {found!r}")
        return found
