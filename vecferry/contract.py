"""What a store must do to be a source or a target.

Few required methods; the rest has a default built on them. Words: a *collection* is a named set of
*records* (id, vectors, document, payload) with one schema; a *slice* is a stored description of some
of them. Records travel as the Arrow batches of `vecferry.batch`, raw as stored: ids of the store's own
kind, encodings of a mapping not undone (`CollectionSchema.mark` says what they are).

Errors that every method may raise: `RetryLater` for faults that may pass (the caller retries, a store
never does), `StoreRefused` when the store says no, `NotFound` when the collection is gone,
`BadRecord` naming the store and the id or line when one record cannot be read or written.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import pyarrow as pa

from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.conditions import Condition
from vecferry.model import ALL_PARTS, CollectionSchema, Feature, JsonObject, Part, Slice, VectorField

__all__ = [
    "Aliasing",
    "Health",
    "Listed",
    "Listing",
    "Narrowing",
    "Reader",
    "Snapshot",
    "Snapshots",
    "Source",
    "SourceFile",
    "Target",
    "fields_by_name",
]


class Reader(StrEnum):
    """Which path a store reads by: its fastest, or the public slow path that proves what others would see."""

    FAST = "fast"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a store made of files: where it is, and its path relative to the store."""

    file: Path
    relative: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One collection below a store's address: its name (a file's without its ending), and where it is.

    `tenant` and `database` are those that it is in, where the engine has such.
    """

    name: str
    address: Address
    tenant: str = ""
    database: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What `list_collections(address)` of a store's module `catalog` finds: each collection once, no alias, sorted.

    `notes` say in words what was passed over, or cannot be listed.
    """

    collections: tuple[Listed, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """What `health(address)` of a store's module `health` finds: the engine, its version (`""`: it tells none).

    `ailments` are what is not well with it or with the collection, `notes` what one should know besides.
    """

    engine: str
    version: str
    ailments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that lies on a server. `sha256` is what the server announces (None: it announces nothing)."""

    name: str
    size_bytes: int
    sha256: str | None


class Snapshots(ABC):
    """Copies of one whole collection that its server makes and takes back. Errors are those of a store."""

    @abstractmethod
    def server_version(self) -> str:
        """The version of the server: a snapshot goes back to the same one, or a newer one."""

    @abstractmethod
    def make(self) -> Snapshot:
        """Let the server make a snapshot; it stays there until `delete`."""

    @abstractmethod
    def download(self, snapshot: Snapshot, goal: Path) -> None:
        """Write a snapshot to the file `goal`. Raises DataDiffer when its checksum is not the announced one."""

    @abstractmethod
    def recover(self, file: Path, sha256: str) -> None:
        """Make the collection anew from a file that the server checks against `sha256`; it must not exist.

        Raises StoreRefused when the server refuses the file.
        """

    @abstractmethod
    def adopt(self, mark: JsonObject) -> None:
        """Store `mark` with the collection that was recovered, in place of one that came with it."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a snapshot from the server."""


class Source(ABC):
    """A collection that can be read. Opening one never creates or changes it.

    `url` names the store in messages, without secrets.
    Instances are safe to use from `capabilities().parallel_reads` threads at once.
    """

    url: str

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this store can hold, as probed from the live engine where it varies."""

    @abstractmethod
    def describe(self) -> CollectionSchema:
        """The collection's schema as the store says it: true metric, dimension, mark."""

    @abstractmethod
    def count(self) -> int:
        """The exact number of records."""

    @abstractmethod
    def slices(self, n: int) -> list[Slice]:
        """About `n` (at least 1) disjoint slices that cover every id that could exist, numbered from 0.

        They are fixed: reading slice 3 next week reads the same range of ids, whatever was written since.
        A file store's slices are row or byte ranges of the file as it was (a changed file is BadRecord or DataDiffer).
        """

    @abstractmethod
    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        """The records of one slice, each once, in batches of at most `batch_rows` rows.

        `columns` are the parts wanted (ids always come). Every batch has the same Arrow schema, that of
        `batch.arrow_schema(describe().vectors, columns)`. No batch for an empty slice.
        """

    @abstractmethod
    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        """What is true now of these ids (`batch.ids_batch`): present rows only, in any order.

        Ids of a kind that the store cannot hold are absent, not an error.
        """

    def fingerprint(self) -> str:
        """A text that changes when files that are read directly change (`""` for stores without files)."""
        return ""

    def identity(self) -> str:
        """What tells this collection from a later one of the same name (`""` where the engine has no such thing)."""
        return ""

    def files(self) -> Sequence[SourceFile]:
        """The files that a backup copies; none for a database, whose verified export is the backup.

        An embedded engine is closed first, so that its files are at rest unless another handle has them open.
        """
        return ()

    def snapshots(self) -> Snapshots | None:
        """Copies that the store's own server makes; None where it makes none."""
        return None

    def close(self) -> None:
        """Give back handles and connections. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Target(Source):
    """A collection that can be written. Opening one neither creates nor needs it.

    Reading one that is absent is NotFound.
    """

    @abstractmethod
    def exists(self) -> bool:
        """Whether the collection (or file) is there."""

    def mark(self) -> JsonObject | None:
        """What `create` stored with the collection, also while its load is not finished. Absent: NotFound."""
        return self.describe().mark

    @abstractmethod
    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        """Create the collection with `schema` (dimension and metric known) and store `mark` with it.

        `schema.features` are settings to carry over, all of them among `capabilities().carries`; some may take
        effect with `finish_load` only.
        Raises TargetNotEmpty when something of that name exists. Nothing is left behind on failure.
        """

    def obstacles(self, features: Sequence[Feature]) -> dict[str, str]:
        """Which of these settings cannot be carried here and now, by name, and why. Changes nothing."""
        return {}

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Upsert records, each replaced whole (no key of an earlier version stays); returns once they are applied.

        Idempotent. Within one batch ids are distinct. After an error anything between nothing and all may be stored.
        The batch may be of any size: the store cuts it by its own limits.
        """

    @abstractmethod
    def delete(self, ids: pa.RecordBatch) -> None:
        """Remove these ids; absent ones are ignored."""

    @abstractmethod
    def drop(self) -> None:
        """Remove the collection, its mark and whatever a broken load left. Absent: nothing happens."""

    def begin_load(self) -> None:
        """Prepare for many writes: indexing off, or a staging area. Idempotent, also after a crash."""

    def finish_load(self) -> None:
        """Make the load whole: indexing on and waited for, or staged files renamed into place. Idempotent."""

    @contextlib.contextmanager
    def bulk_load(self) -> Iterator[Self]:
        """`begin_load` and, unless an error leaves the block, `finish_load`."""
        self.begin_load()
        yield self
        self.finish_load()

    def changing(self) -> contextlib.AbstractContextManager[Target]:
        """Several writes and deletes to a collection that serves already: indexing stays on.

        What only a finished load makes visible (files) becomes so at the end of the block, all at once.
        """
        return contextlib.nullcontext(self)


class Aliasing(Target):
    """A target on a server with aliases: names that point at collections."""

    @abstractmethod
    def alias_target(self, alias: str) -> str | None:
        """The collection that an alias points at now, or None when there is no such alias."""

    @abstractmethod
    def point_alias(self, alias: str) -> None:
        """Point an alias at this collection with one call, whether or not it existed."""


@runtime_checkable
class Narrowing(Protocol):
    """A source whose engine can leave out records before they are sent."""

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> Source | None:
        """The same collection, read by the engine's own filter: at least all records that one of these takes.

        `beside`: and all that have a text under this key of the payload, where a mapping puts values aside.
        Whoever asks filters what comes, exactly. Slices are those of the whole; `count` may count more than is read.
        Closing it closes nothing. None where the engine has no such filter: then all records are read.
        """


def fields_by_name(schema: CollectionSchema) -> dict[str, VectorField]:
    """A schema's vectors by name."""
    return {field.name: field for field in schema.vectors}
