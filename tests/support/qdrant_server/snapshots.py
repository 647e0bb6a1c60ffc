"""Snapshots of collections: files that outlive them. The format is our own; a real server could not read one."""

import hashlib
import io
import shutil
import tarfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from .catalog import Catalog, described
from .errors import ApiError, Failure, bad_input

SUFFIX = ".snapshot"
SETTINGS, SHARD = "collection.json", "shard"
NO_TAR = "Service internal error: File IO error: Malformed tar archive, reached unknown entry"


@dataclass(frozen=True)
class Recovery:
    """What a client asked for: tests look whether it said the priority and the checksum."""

    collection: str
    priority: str | None
    checksum: str | None


@dataclass
class Snapshots:
    """The snapshots of a server, in a folder for each collection."""

    folder: Path
    catalog: Catalog
    recoveries: list[Recovery] = field(default_factory=list)
    remote_shards: list[dict[str, Any]] = field(default_factory=list)
    """What a test says that other nodes hold; a server of one node has none."""
    _made: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def make(self, name: str) -> dict[str, Any]:
        collection = self.catalog.get(name)
        with self._lock, collection.at_rest() as shard:
            self._made += 1
            folder = self._of(collection.name)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{collection.name}-{self._made:016d}-{time.strftime('%Y-%m-%d-%H-%M-%S')}{SUFFIX}"
            staged = path.with_suffix(".part")
            with tarfile.open(staged, "w:gz", compresslevel=1) as tar:  # the log is mostly zeros
                add(tar, SETTINGS, orjson.dumps(described(collection)))
                tar.add(shard, SHARD)
            staged.replace(path)
        return description(path)

    def list(self, name: str) -> list[dict[str, Any]]:
        folder = self._of(self.catalog.get(name).name)
        return [description(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]

    def shards(self, name: str) -> dict[str, Any]:
        self.catalog.get(name)
        local = [{"shard_id": 0, "points_count": 0, "state": "Active"}]
        return {
            "peer_id": 1,
            "shard_count": 1,
            "local_shards": local,
            "remote_shards": self.remote_shards,
            "shard_transfers": [],
        }

    def find(self, name: str, snapshot: str) -> Path:
        path = self._of(self.catalog.resolve(name)) / snapshot
        if not path.is_file():
            raise missing(snapshot)
        return path

    def delete(self, name: str, snapshot: str) -> bool:
        self.catalog.get(name)
        self.find(name, snapshot).unlink()
        return True

    def recover_from_url(self, name: str, location: str, key: str | None, recovery: Recovery) -> bool:
        answer = httpx.get(location, headers={"api-key": key} if key else {}, timeout=60)
        if not answer.is_success:
            status = f"status - {answer.status_code} {answer.reason_phrase}"
            raise bad_input(f"Failed to download tar from {location} {status}")
        found = hashlib.sha256(answer.content).hexdigest()
        if recovery.checksum not in (None, found):
            raise bad_input(f"Snapshot checksum mismatch: expected {recovery.checksum}, got {found}")
        return self._recover(name, answer.content, recovery)

    def recover_from_upload(self, name: str, content: bytes, recovery: Recovery) -> bool:
        found = hashlib.sha256(content).hexdigest()
        if recovery.checksum not in (None, found):
            text = f"Checksum mismatch: expected {recovery.checksum}, actual {found}"
            raise ApiError(Failure.BAD_INPUT, text)
        return self._recover(name, content, recovery)

    def _recover(self, name: str, content: bytes, recovery: Recovery) -> bool:
        """On one node every priority restores all points, as a real one does."""
        folder = self.catalog.new_folder()
        unpacked = folder.with_name(f"{folder.name}.unpacked")
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                tar.extractall(unpacked, filter="data")
            settings = orjson.loads((unpacked / SETTINGS).read_bytes())
            (unpacked / SHARD).rename(folder)
        except (tarfile.TarError, OSError) as error:
            raise ApiError(Failure.INTERNAL, NO_TAR) from error
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        self.catalog.adopt(self.catalog.resolve(name), settings, folder)
        self.recoveries.append(recovery)
        return True

    def _of(self, collection: str) -> Path:
        return self.folder / uuid.uuid5(uuid.NAMESPACE_OID, collection).hex


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def description(path: Path) -> dict[str, Any]:
    status = path.stat()
    made_at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(status.st_mtime))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": path.name, "creation_time": made_at, "size": status.st_size, "checksum": checksum}


def missing(snapshot: str) -> ApiError:
    return ApiError(Failure.NOT_FOUND, f"Not found: Snapshot {snapshot} not found")
