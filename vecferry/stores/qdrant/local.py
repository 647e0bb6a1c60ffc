"""`qdrant+path:///DIR/COLLECTION`: a folder of qdrant-client's local mode, as a source only.

It stores its points as pickles, which may run any program when they are opened. So it is read only where the user says
that the folder is trusted, and even then in a limited process that makes nothing but data of them. The folder stays
byte for byte as it is; its lock is looked at and never taken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.contract import Reader, Source
from vecferry.errors import BadOption, DataDiffer, StoreRefused
from vecferry.model import ALL_PARTS, CollectionSchema, Feature, IdKind, JsonObject, Metric, Part, Slice
from vecferry.stores.qdrant import capabilities, schema
from vecferry.stores.qdrant.local_folder import LocalFolder
from vecferry.stores.qdrant.local_spool import Spooled, spool
from vecferry.stores.qdrant.settings import alias_features, index_features, section_features, vector_features

__all__ = ["CAPABILITIES", "LocalSource", "open_source", "open_target"]

CAPABILITIES = capabilities.local()

_SECTIONS = {
    "hnsw_config": "hnsw_config",
    "optimizers_config": "optimizer_config",
    "wal_config": "wal_config",
    "quantization_config": "quantization_config",
    "strict_mode_config": "strict_mode_config",
    "metadata": "metadata",
}
_NO_PARAMS = {"vectors", "sparse_vectors", "init_from", *_SECTIONS}


def open_source(address: Address, reader: Reader = Reader.FAST) -> LocalSource:
    """Open a trusted folder. Raises StoreRefused for one that is not, NotFound, RetryLater while a client has it."""
    address.only_options()
    if address.host:
        raise BadOption(f"{address} names a host", advice="a folder has three slashes: qdrant+path:///DIR/COLLECTION")
    if not address.trusted:
        raise StoreRefused(
            f"{address} holds pickles, which can run any program when they are opened",
            advice="if you made the folder, or trust who did: --trust-local-files (trust_local_files: true in a file)",
        )
    folder = LocalFolder(address.folder(), address.collection(), str(address))
    folder.require_readable()
    return LocalSource(folder, str(address))


def open_target(address: Address, reader: Reader = Reader.FAST) -> NoReturn:
    """Local mode is for small tests and writes 70 points a second: it is no target. Raises StoreRefused."""
    raise StoreRefused(
        f"{address} cannot be written: local mode is read only here",
        advice="qdrant+edge:///DIR/COLLECTION is Qdrant's engine in a folder; qdrant://HOST/COLLECTION a server",
    )


class LocalSource(Source):
    """One collection. All points are read once, on first use, and kept until it is closed."""

    def __init__(self, folder: LocalFolder, url: str) -> None:
        self.url = url
        self._folder = folder
        self._lock = threading.RLock()
        self._spooled: tuple[str, Spooled] | None = None

    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def describe(self) -> CollectionSchema:
        _, spooled = self._read()
        kinds = set(spooled.table.column(batches.ID_KIND).unique().to_pylist()) if spooled.table.num_rows else set()
        return CollectionSchema(
            name=self._folder.collection,
            vectors=spooled.fields,
            id_kinds=schema.ID_KINDS | {IdKind(kind) for kind in kinds},
            features=tuple(self._features()),
            missing_vectors=max((_absent(spooled, field.name) for field in spooled.fields), default=0),
            notes=tuple(_notes(spooled)),
        )

    def count(self) -> int:
        return len(self._read()[1].rows)

    def slices(self, n: int) -> list[Slice]:
        fingerprint, spooled = self._read()
        edges = [len(spooled.rows) * at // max(n, 1) for at in range(max(n, 1) + 1)]
        borders = [(start, stop) for start, stop in pairwise(edges) if stop > start] or [(0, 0)]
        return [
            Slice(at, {"first": start, "rows": stop - start, "fingerprint": fingerprint}, stop - start)
            for at, (start, stop) in enumerate(borders)
        ]

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        fingerprint, spooled = self._read()
        if fingerprint != part.bounds["fingerprint"]:
            raise DataDiffer(
                f"{self.url} changed since the plan was made",
                advice="plan the migration again; the folder must stay as it is while it is copied",
            )
        start = int(part.bounds["first"])
        stop = start + int(part.bounds["rows"])
        for at in range(start, stop, batch_rows):
            yield _batch(spooled, np.arange(at, min(at + batch_rows, stop)), columns)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        _, spooled = self._read()
        found = _batch(spooled, spooled.index.candidates(ids), columns)
        wanted = set(batches.record_ids(ids))
        return found.filter(pa.array([item in wanted for item in batches.record_ids(found)], pa.bool_()))

    def fingerprint(self) -> str:
        return self._folder.fingerprint()

    def close(self) -> None:
        with self._lock:
            self._spooled = None

    def _read(self) -> tuple[str, Spooled]:
        """All points, and the fingerprint of the database that they are from. Read again where it changed."""
        with self._lock:
            before = self._folder.fingerprint()
            if self._spooled is None or self._spooled[0] != before:
                self._folder.require_readable()
                config = self._folder.config()
                fields = schema.vector_fields(*_vectors(config))
                found = spool(self._folder.database, fields, self.url)
                if self._folder.fingerprint() != before:
                    raise DataDiffer(f"{self.url} changed while it was read", advice="close the program that writes it")
                self._spooled = before, found
            return self._spooled

    def _features(self) -> Iterator[Feature]:
        config = self._folder.config()
        yield from vector_features(*_vectors(config))
        yield from _asked_types(config)
        for name, section in _SECTIONS.items():
            yield from section_features(section, config.get(name) or {})
        yield from section_features("params", {key: value for key, value in config.items() if key not in _NO_PARAMS})
        yield from index_features(self._folder.text_indexes())
        yield from alias_features(self._folder.aliases())


def _vectors(config: JsonObject) -> tuple[dict[str, Any], dict[str, Any]]:
    """Dense and sparse settings by name, without the number type: local mode takes note of it and ignores it."""
    dense, sparse = config.get("vectors") or {}, config.get("sparse_vectors") or {}
    named = {"": dense} if "size" in dense else dense
    plain = {name: {**settings, "datatype": None} for name, settings in named.items()}
    return plain, {name: {**settings, "index": _untyped(settings.get("index"))} for name, settings in sparse.items()}


def _untyped(index: JsonObject | None) -> dict[str, Any] | None:
    return None if index is None else {**index, "datatype": None}


def _asked_types(config: JsonObject) -> Iterator[Feature]:
    dense = config.get("vectors") or {}
    for name, settings in sorted(({"": dense} if "size" in dense else dense).items()):
        if settings.get("datatype") not in (None, "float32"):
            told = f"{settings['datatype']} (asked for; local mode stores what it is given, in full)"
            yield Feature(f"datatype of vector {name!r}", told)


def _absent(spooled: Spooled, vector: str) -> int:
    return int(spooled.table.column(batches.column_name(vector)).null_count)


def _notes(spooled: Spooled) -> Iterator[str]:
    if spooled.outdated:
        yield (
            f"{spooled.outdated:,} older copies of records (other spellings of a UUID, or written by another Python) "
            "are left out, as the client does when it opens the folder"
        )
    if any(field.metric is Metric.COSINE for field in spooled.fields):
        yield "vectors are stored as they were given, not as unit vectors"


def _batch(spooled: Spooled, rows: npt.NDArray[np.int64], parts: frozenset[Part]) -> pa.RecordBatch:
    schema_ = batches.arrow_schema(spooled.fields, parts)
    return spooled.take(rows, schema_.names).cast(schema_) if len(rows) else batches.empty(spooled.fields, parts)
