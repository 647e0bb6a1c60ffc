"""A store around another one: everything goes straight through, and a subclass changes what it is there for."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from vecferry.capabilities import Capabilities
from vecferry.contract import Snapshots, Source, SourceFile, Target
from vecferry.model import ALL_PARTS, CollectionSchema, Feature, JsonObject, Part, Slice

__all__ = ["ForwardingSource", "ForwardingTarget", "NarrowedSource"]


class ForwardingSource(Source):
    """A source that is `inner`, also by its `url`."""

    def __init__(self, inner: Source) -> None:
        self.inner, self.url = inner, inner.url

    def capabilities(self) -> Capabilities:
        return self.inner.capabilities()

    def describe(self) -> CollectionSchema:
        return self.inner.describe()

    def count(self) -> int:
        return self.inner.count()

    def slices(self, n: int) -> list[Slice]:
        return self.inner.slices(n)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self.inner.read(part, columns, batch_rows)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        return self.inner.fetch(ids, columns)

    def fingerprint(self) -> str:
        return self.inner.fingerprint()

    def identity(self) -> str:
        return self.inner.identity()

    def files(self) -> Sequence[SourceFile]:
        return self.inner.files()

    def snapshots(self) -> Snapshots | None:
        return self.inner.snapshots()

    def close(self) -> None:
        self.inner.close()


class NarrowedSource(ForwardingSource):
    """What `Narrowing` gives: a store, read with a filter of its own, that stays open when this is closed."""

    def __init__(self, inner: Source, read: Callable[[Slice, frozenset[Part], int], Iterator[pa.RecordBatch]]) -> None:
        super().__init__(inner)
        self._read = read

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self._read(part, columns, batch_rows)

    def close(self) -> None:
        """Nothing: the store is not this one's."""


class ForwardingTarget(ForwardingSource, Target):
    """A target that is `inner`."""

    inner: Target

    def exists(self) -> bool:
        return self.inner.exists()

    def mark(self) -> JsonObject | None:
        return self.inner.mark()

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        self.inner.create(schema, mark)

    def write(self, batch: pa.RecordBatch) -> None:
        self.inner.write(batch)

    def delete(self, ids: pa.RecordBatch) -> None:
        self.inner.delete(ids)

    def obstacles(self, features: Sequence[Feature]) -> dict[str, str]:
        return self.inner.obstacles(features)

    def drop(self) -> None:
        self.inner.drop()

    def begin_load(self) -> None:
        self.inner.begin_load()

    def finish_load(self) -> None:
        self.inner.finish_load()

    @contextlib.contextmanager
    def changing(self) -> Iterator[Target]:
        with self.inner.changing() as inside:
            yield self.around(inside)

    @abstractmethod
    def around(self, inner: Target) -> Target:
        """The same around another handle of the same collection."""
