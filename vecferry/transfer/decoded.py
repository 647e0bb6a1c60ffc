"""A collection that an earlier migration encoded, shown in its original terms.

The mark in the collection says how records were encoded. Whoever reads the collection through
vecferry sees the originals: typed ids, documents, payload values that the store itself cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from vecferry import batch as columns_of
from vecferry.capabilities import Capabilities
from vecferry.contract import Source
from vecferry.errors import BadRecord
from vecferry.mapping import Mapping
from vecferry.model import ALL_PARTS, CollectionSchema, JsonObject, Part, Slice

_COLUMN_OF = {Part.PAYLOAD: columns_of.PAYLOAD, Part.DOCUMENT: columns_of.DOCUMENT}

__all__ = ["MARK_VERSION", "DecodedSource", "make_mark", "mapping_of", "needed_parts", "only_parts"]

MARK_VERSION = 1


def make_mark(*, migration: str, archive: str, source: str, mapping: Mapping) -> dict[str, object]:
    """What a migration writes into the collection that it makes."""
    return {
        "vecferry": MARK_VERSION,
        "migration": migration,
        "archive": archive,
        "source": source,
        "mapping": mapping.to_mark(),
    }


def mapping_of(mark: JsonObject | None) -> Mapping | None:
    """The mapping that a mark describes. Raises BadRecord for a mark of a later version."""
    if mark is None or "mapping" not in mark:
        return None
    if mark["vecferry"] != MARK_VERSION:
        raise BadRecord(
            f"the collection bears a mark of version {mark['vecferry']}, this vecferry knows {MARK_VERSION}",
            advice="use the vecferry that made it, or a later one",
        )
    return Mapping.from_json(mark["mapping"])


class DecodedSource(Source):
    """Undoes a mapping on everything that is read."""

    def __init__(self, inner: Source, mapping: Mapping, note: str) -> None:
        self.inner, self.mapping, self._note = inner, mapping, note
        self.url = inner.url

    def capabilities(self) -> Capabilities:
        """Those of the store below."""
        return self.inner.capabilities()

    def describe(self) -> CollectionSchema:
        """The original schema, under the name that the collection has here."""
        found = self.inner.describe()
        schema = self.mapping.original_schema(found)
        return replace(schema, notes=(*schema.notes, self._note))

    def count(self) -> int:
        """The exact number of records."""
        return self.inner.count()

    def slices(self, n: int) -> list[Slice]:
        """The store's own slices."""
        return self.inner.slices(n)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        """Records in original terms. Ids, documents and side fields live in the payload, so it is read with them."""
        for batch in self.inner.read(part, needed_parts(columns), batch_rows):
            yield only_parts(self.mapping.backward(batch), columns)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        """Records by their original ids."""
        found = self.inner.fetch(self.mapping.forward(ids), needed_parts(columns))
        return only_parts(self.mapping.backward(found), columns)

    def fingerprint(self) -> str:
        """That of the store below."""
        return self.inner.fingerprint()

    def identity(self) -> str:
        """That of the store below."""
        return self.inner.identity()

    def close(self) -> None:
        """Close the store below."""
        self.inner.close()


def needed_parts(wanted: frozenset[Part]) -> frozenset[Part]:
    """What must be read to decode these parts: ids, documents and side fields may stand in the payload."""
    return wanted | {Part.PAYLOAD, Part.DOCUMENT}


def only_parts(batch: pa.RecordBatch, wanted: frozenset[Part]) -> pa.RecordBatch:
    """The batch without the parts that were read only to decode others."""
    unwanted = [name for part, name in _COLUMN_OF.items() if part not in wanted and name in batch.schema.names]
    return batch.drop_columns(unwanted) if unwanted else batch
