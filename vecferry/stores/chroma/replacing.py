"""Writing records so that nothing of what was stored under their ids, or under their keys, stays.

Chroma's upsert merges: metadata keys, document and uri of the stored record stay. A new record may even be born with
lists of a dropped one: `delete_collection` leaves the lists in its tables, and their keys are given out again (seen
with Chroma 1.5.9, folder and server). And an upsert of a stored id moves its vector within the index, which costs ten
times as much as adding one. So what is stored of the ids is looked up before and after:

1. A stored record that keeps its vector is updated beside it, its vanished keys named with None.
2. Every other stored record is deleted and added anew. So is one whose document or uri vanishes: no update can say
   that (a None for it kills the engine).
3. Records that then show more keys than were written get them named with None.

What is left depends on the batch alone, so writing it again, whatever a kill left, gives the same records, and costs
little for those that had arrived. Killed between deleting and adding, a record is absent until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vecferry.stores.chroma import cosine
from vecferry.stores.chroma.capabilities import MAX_BATCH_BYTES
from vecferry.stores.chroma.checks import Checked
from vecferry.stores.chroma.connection import Connection, Model, Rows
from vecferry.stores.chroma.failures import LostVector
from vecferry.stores.chroma.metadata_rows import Metadata

__all__ = ["cuts", "replace_rows", "with_lists"]

Floats = npt.NDArray[np.float32]
_TEXTS = ["metadatas", "documents", "uris"]


def cuts(sizes_bytes: npt.NDArray[np.int64], most_rows: int) -> Iterator[slice]:
    """Runs of rows that one request may have, by number and by bytes; at least one row each."""
    ends = np.cumsum(sizes_bytes)
    start = 0
    while start < len(ends):
        before = ends[start] - sizes_bytes[start]
        fitting = int(np.searchsorted(ends, before + MAX_BATCH_BYTES, side="right"))
        stop = max(start + 1, min(start + most_rows, fitting))
        yield slice(start, stop)
        start = stop


def replace_rows(connection: Connection, model: Model, checked: Checked, chosen: slice, *, is_cosine: bool) -> None:
    """Write some rows of a checked batch, each replaced whole."""
    metadatas = checked.metadatas[chosen]
    rows = Rows(
        checked.ids[chosen],
        checked.vectors[chosen],
        checked.documents[chosen],
        [metadata or None for metadata in metadatas],
        checked.uris[chosen],
    )
    place = {text: row for row, text in enumerate(rows.ids)}
    stored = _stored(connection, model, rows.ids)
    kept = _kept(rows, place, stored, is_cosine=is_cosine)
    gone = [text for text in stored["ids"] if place[text] not in kept]
    if gone:
        connection.delete(model, gone)
    if kept:
        connection.update(model, _patched(rows, metadatas, kept))
    if len(kept) < len(metadatas):
        others = [row for row in range(len(metadatas)) if row not in kept]
        connection.upsert(model, _chosen(rows, others) if kept else rows)
    extra = _with_more_keys(metadatas, place, connection.get(model, rows.ids, ["metadatas"]))
    if extra:
        connection.update(model, _patched(rows, metadatas, extra))


def with_lists(answer: Mapping[str, Any]) -> list[str]:
    """The ids of an answer whose metadata hold a list."""
    pairs = zip(answer["ids"], answer["metadatas"], strict=True)
    return [text for text, metadata in pairs if metadata and list in map(type, metadata.values())]


def _stored(connection: Connection, model: Model, ids: Sequence[str]) -> Mapping[str, Any]:
    """What is there of these ids; without the vectors where one of them is lost."""
    try:
        return connection.get(model, ids, ["embeddings", *_TEXTS])
    except LostVector:
        return connection.get(model, ids, _TEXTS)


def _kept(
    rows: Rows, place: Mapping[str, int], stored: Mapping[str, Any], *, is_cosine: bool
) -> dict[int, Metadata | None]:
    """The rows that can be updated beside their vector, with the metadata that is stored."""
    if not stored["ids"] or stored["embeddings"] is None:
        return {}
    places = [place[text] for text in stored["ids"]]
    wanted = np.ascontiguousarray(rows.vectors[places])
    there = np.array(stored["embeddings"], dtype=np.float32)
    same = _equal_bits(cosine.returned_form(wanted) if is_cosine else wanted, there)
    found = zip(places, same.tolist(), stored["metadatas"], stored["documents"], stored["uris"], strict=True)
    return {
        row: metadata
        for row, is_same, metadata, document, uri in found
        if is_same
        and (document is None or rows.documents[row] is not None)
        and (uri is None or rows.uris[row] is not None)
    }


def _equal_bits(left: Floats, right: Floats) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = (left.view(np.uint32) == right.view(np.uint32)).all(axis=1)
    return equal


def _with_more_keys(
    metadatas: Sequence[Metadata], place: Mapping[str, int], seen: Mapping[str, Any]
) -> dict[int, Metadata | None]:
    """The rows that show more keys than were written, with what they show."""
    pairs = ((place[text], metadata) for text, metadata in zip(seen["ids"], seen["metadatas"], strict=True))
    return {row: metadata for row, metadata in pairs if metadata and len(metadata) > len(metadatas[row])}


def _patched(rows: Rows, metadatas: Sequence[Metadata], stored: Mapping[int, Metadata | None]) -> Rows:
    """The rows of `stored`, with every key that is stored and not theirs named as None."""
    patched = _chosen(rows, list(stored))
    vanished = ((stored[row] or {}).keys() - metadatas[row].keys() for row in stored)
    patches = [
        {**metadatas[row], **dict.fromkeys(keys)} if keys else metadatas[row] or None
        for row, keys in zip(stored, vanished, strict=True)
    ]
    return Rows(patched.ids, patched.vectors, patched.documents, patches, patched.uris)


def _chosen(rows: Rows, wanted: list[int]) -> Rows:
    return Rows(
        [rows.ids[row] for row in wanted],
        rows.vectors[wanted],
        [rows.documents[row] for row in wanted],
        [rows.metadatas[row] for row in wanted],
        [rows.uris[row] for row in wanted],
    )
