"""An index and its metadata as records: row by row, with the id and the payload of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import sealing
from vecferry.errors import BadOption, BadRecord
from vecferry.model import CollectionSchema, Decision, DType, Feature, IdKind, Outcome, Part, VectorField, VectorKind
from vecferry.stores.faiss_index import options as choices
from vecferry.stores.faiss_index.capabilities import METRICS
from vecferry.stores.faiss_index.metadata import Entry, Metadata
from vecferry.stores.faiss_index.options import Options
from vecferry.stores.faiss_index.vectors import Ids, Numbers, Vectors
from vecferry.stores.file_store import FileView, IdIndex, RowNumbers

__all__ = ["RECONSTRUCTED_CONSENT", "IndexView", "fingerprint"]

RECONSTRUCTED_CONSENT = "reconstructed_vectors"
"""The name of the loss: what moves is what the index reconstructs, not the vectors that were put into it."""

_BLOCK_ROWS = 10_000
_EMPTY = Entry(b"{}", None)


def fingerprint(paths: Sequence[Path]) -> str:
    """Names, sizes and times of change."""
    found = [(path.name, path.stat()) for path in paths]
    return ";".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in found)


class IndexView(FileView):
    """The files as they were when this was made; `paths` are all that it reads."""

    def __init__(self, url: str, paths: Sequence[Path], vectors: Vectors, options: Options, *, tagged: bool) -> None:
        self._url, self._paths, self._vectors, self._options = url, paths, vectors, options
        self.rows = vectors.rows
        natural = vectors.ids is None or np.array_equal(np.sort(vectors.ids), np.arange(self.rows))
        stated = {choices.Ids.AUTO: natural, choices.Ids.INDEX: False, choices.Ids.METADATA: True}[options.ids]
        there = options.metadata is not None and options.metadata in paths
        self._metadata = (
            Metadata(options.metadata, tagged=tagged, with_ids=stated) if there and options.metadata else None
        )
        self._own_ids = not natural
        self._entries = self._matched()
        self.schema = self._schema()

    # Metadata

    def _matched(self) -> Ids:
        """The metadata entry of each row, -1 where it has none: `(rows,) int64`."""
        if self._metadata is None or not self.rows:
            return np.full(self.rows, -1, dtype=np.int64)
        wanted, keys = self._row_keys(self._metadata), self._metadata.keys
        order = np.argsort(keys)
        places = np.searchsorted(keys, wanted, sorter=order)
        found = np.append(order, -1)[places]
        found[np.append(keys, 0)[found] != wanted] = -1
        self._refuse_strange_keys(self._metadata, found)
        return found

    def _row_keys(self, metadata: Metadata) -> Ids:
        """The metadata key of each row: `(rows,) int64`."""
        by_row = self._options.by is choices.Keys.ROW
        if by_row and not self._vectors.ordered:
            raise BadOption(f"{self._url}: inverted lists keep no order of rows, so that ?by=row names nothing")
        if metadata.is_list and self._own_ids and not by_row:
            raise BadOption(
                f"{self._url}: the metadata are a list, and the index has ids of its own",
                advice="if entry i belongs to the row that was added as number i, say ?by=row; "
                "else save the metadata as an object with the ids as keys",
            )
        return np.arange(self.rows) if by_row or self._vectors.ids is None else self._vectors.ids

    def _refuse_strange_keys(self, metadata: Metadata, found: Ids) -> None:
        if (found < 0).all() and (len(metadata.keys) or metadata.odd):
            shown = metadata.odd[0] if metadata.odd else metadata.keys[0]
            keys = "ids of the index's own" if self._own_ids else "row numbers"
            raise BadRecord(
                f"{self._url}: no key of the metadata names a row, for example {shown}; keys must be {keys}",
                advice="?by=row where they are row numbers, ?metadata= where the file is of something else",
            )

    # Describing

    def _schema(self) -> CollectionSchema:
        vectors = self._vectors
        field = VectorField("", VectorKind.DENSE, DType.FLOAT32, vectors.dimension, METRICS.get(vectors.metric))
        words = f"{vectors.words}; ids are {'its own' if self._own_ids else 'row numbers'}"
        return CollectionSchema(
            self._paths[0].name,
            (field,),
            self._kinds(),
            features=(Feature("FAISS index", vectors.words),),
            dialect=words,
            notes=tuple(self._notes()),
            losses=(_loss(vectors.lossy, self.rows),) if vectors.lossy else (),
        )

    def _kinds(self) -> frozenset[IdKind]:
        plain = ~self._stating
        ids = self._vectors.ids
        kinds = set(self._metadata.kinds) if self._metadata is not None and self._stating.any() else set()
        if ids is not None and (ids[plain] < 0).any():
            kinds.add(IdKind.INT64)
        if not self.rows or (plain.any() and (ids is None or (ids[plain] >= 0).any())):
            kinds.add(IdKind.UINT64)
        return frozenset(kinds)

    def _notes(self) -> list[str]:
        vectors = self._vectors
        notes = [f"the vectors are not exact: {vectors.lossy}"] if vectors.lossy else []
        if vectors.claimed != self.rows:
            lost = vectors.claimed - self.rows
            notes.append(
                f"the index counts {lost} vectors that it does not hold (FAISS drops those with NaN from lists)"
            )
        if vectors.metric not in METRICS:
            notes.append(f"its metric is FAISS's number {vectors.metric}, which has no name here")
        if self._metadata is None:
            return [*notes, *self._notes_without_metadata()]
        return [*notes, *self._notes_of_metadata(self._metadata)]

    def _notes_without_metadata(self) -> list[str]:
        notes = ["there are no metadata: payloads are empty"]
        pickles = [self._paths[0].with_suffix(suffix) for suffix in (".pkl", ".pickle")]
        found = [path.name for path in pickles if path.exists()]
        return notes + [f"{name} beside it is a pickle, which is never loaded: save it as JSON" for name in found]

    def _notes_of_metadata(self, metadata: Metadata) -> list[str]:
        without = int((self._entries < 0).sum())
        used = np.unique(self._entries[self._entries >= 0])
        surplus = len(metadata.keys) - len(used) + len(metadata.odd)
        stated = int(self._stating.sum())
        notes = [f"{without} rows have no metadata: their payload is empty"] if without else []
        if surplus:
            left = np.delete(metadata.keys, used)
            shown = metadata.odd[0] if metadata.odd else left[0]
            notes.append(f"{surplus} entries of the metadata name no row and are not moved, {shown} for one")
        if stated:
            notes.append(f"the key id of {stated} metadata entries is the record's id and is not part of its payload")
            if stated < self.rows:
                notes.append(f"{self.rows - stated} rows have no id in their metadata: FAISS's number is the id")
        return notes

    # Ids

    @cached_property
    def _stating(self) -> npt.NDArray[np.bool_]:
        """Which rows have an id in their metadata: `(rows,) bool`."""
        if self._metadata is None or not self._metadata.stated.any():
            return np.zeros(self.rows, dtype=np.bool_)
        return (self._entries >= 0) & self._metadata.stated[self._entries]

    def _faiss_ids(self, rows: Ids) -> Ids:
        return rows if self._vectors.ids is None else self._vectors.ids[rows]

    def index(self) -> IdIndex:
        return self._index

    @cached_property
    def _index(self) -> IdIndex:
        if self._vectors.ids is None and not self._stating.any():
            return RowNumbers(self.rows)
        starts = range(0, self.rows, _BLOCK_ROWS)
        return IdIndex([self._hashes(np.arange(at, min(at + _BLOCK_ROWS, self.rows))) for at in starts])

    def _hashes(self, rows: Ids) -> npt.NDArray[np.uint8]:
        numbers = self._faiss_ids(rows)
        found = sealing.hash_ids(batches.make(_texts(numbers), _kinds_of(numbers))).copy()
        stating = self._stating[rows]
        if self._metadata is not None and stating.any():
            found[stating] = self._metadata.stated_hashes(self._entries[rows[stating]])
        return found

    # Reading

    def read(self, start: int, stop: int, parts: frozenset[Part]) -> pa.RecordBatch:
        return self._batch(np.arange(start, stop), parts, lambda: self._vectors.read(start, stop))

    def take(self, rows: npt.NDArray[np.int64], parts: frozenset[Part]) -> pa.RecordBatch:
        return self._batch(rows, parts, lambda: self._vectors.take(rows))

    def _batch(self, rows: Ids, parts: frozenset[Part], vectors: Callable[[], Numbers]) -> pa.RecordBatch:
        stating = bool(self._stating[rows].any())
        entries = self._taken(rows) if stating or Part.PAYLOAD in parts else []
        numbers = self._faiss_ids(rows)
        texts, kinds = _texts(numbers), _kinds_of(numbers)
        if stating:
            texts, kinds = _with_stated(texts, kinds, entries)
        return batches.make(
            texts,
            kinds,
            vectors={"": batches.dense_array(vectors())} if Part.VECTORS in parts else None,
            documents=[None] * len(rows) if Part.DOCUMENT in parts else None,
            payloads=[entry.payload for entry in entries] if Part.PAYLOAD in parts else None,
        )

    def _taken(self, rows: Ids) -> list[Entry]:
        numbers = self._entries[rows]
        if self._metadata is None or (numbers < 0).all():
            return [_EMPTY] * len(rows)
        there = numbers >= 0
        found = iter(self._metadata.take(numbers[there]))
        return [next(found) if present else _EMPTY for present in there.tolist()]

    def fingerprint(self, start: int, stop: int) -> str:
        return fingerprint(self._paths)


def _loss(words: str, rows: int) -> Decision:
    """Vectors that were rounded before vecferry saw them."""
    detail = f"the index holds no exact vectors: {words}"
    advice = (
        "migrate from the vectors that the index was built from, or agree to those that it gives: "
        f"--consent {RECONSTRUCTED_CONSENT}"
    )
    return Decision("vectors", Outcome.LOSSY, detail, rows=rows, consent=RECONSTRUCTED_CONSENT, advice=advice)


def _texts(numbers: Ids) -> pa.StringArray:
    return pa.array(numbers).cast(pa.string())


def _kinds_of(numbers: Ids) -> pa.DictionaryArray:
    if not len(numbers) or numbers.min() >= 0:
        return batches.kind_array(IdKind.UINT64, len(numbers))
    kinds = [IdKind.INT64 if negative else IdKind.UINT64 for negative in (numbers < 0).tolist()]
    return batches.kind_array(kinds, len(numbers))


def _with_stated(
    texts: pa.StringArray, kinds: pa.DictionaryArray, entries: list[Entry]
) -> tuple[pa.StringArray, pa.DictionaryArray]:
    """Texts and kinds, those that metadata state in the place of FAISS's."""
    rows = zip(texts.to_pylist(), kinds.to_pylist(), entries, strict=True)
    merged = [(text, IdKind(kind)) if entry.stated is None else entry.stated for text, kind, entry in rows]
    return pa.array([text for text, _ in merged], pa.string()), batches.kind_array(
        [kind for _, kind in merged], len(merged)
    )
