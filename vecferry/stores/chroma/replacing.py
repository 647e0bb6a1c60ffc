"""Writing records so that nothing of what was stored under their ids, or under their keys, stays.

Chroma's upsert merges: metadata keys, document and uri of the stored record stay. And a new record may be born with
lists of a dropped one: `delete_collection` leaves the lists in its tables, and their keys are given out again (seen
with Chroma 1.5.9, folder and server). So what is stored of the ids is looked up before the upsert, and after it:

1. A record whose document or uri vanishes is deleted first: no upsert can say that (a None for it kills the engine).
2. The upsert names vanished keys with None.
3. Records that show more keys than were written get them named with None too.

What is left depends on the batch alone, so writing it again, whatever a kill left, gives the same records. Killed
between 1 and 2, a record is absent until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vecferry.stores.chroma.capabilities import MAX_BATCH_BYTES
from vecferry.stores.chroma.checks import Checked
from vecferry.stores.chroma.connection import Connection, Model, Rows
from vecferry.stores.chroma.metadata_rows import Metadata

__all__ = ["cuts", "replace_rows", "with_lists"]

_STORED = ["metadatas", "documents", "uris"]


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


def replace_rows(connection: Connection, model: Model, checked: Checked, chosen: slice) -> None:
    """Write some rows of a checked batch, each replaced whole."""
    metadatas = checked.metadatas[chosen]
    rows = Rows(
        checked.ids[chosen],
        checked.vectors[chosen],
        checked.documents[chosen],
        [metadata or None for metadata in metadatas],
        checked.uris[chosen],
    )
    stored = connection.get(model, rows.ids, _STORED)
    gone = _to_delete(rows, stored)
    if gone:
        connection.delete(model, gone)
    connection.upsert(model, _patched(rows, metadatas, stored))
    seen = connection.get(model, rows.ids, ["metadatas"])
    extra = _with_more_keys(rows, metadatas, seen)
    if extra:
        connection.upsert(model, _chosen(_patched(rows, metadatas, seen), extra))


def with_lists(answer: Mapping[str, Any]) -> list[str]:
    """The ids of an answer whose metadata hold a list."""
    pairs = zip(answer["ids"], answer["metadatas"], strict=True)
    return [text for text, metadata in pairs if metadata and list in map(type, metadata.values())]


def _places(rows: Rows) -> dict[str, int]:
    return {text: row for row, text in enumerate(rows.ids)}


def _to_delete(rows: Rows, stored: Mapping[str, Any]) -> list[str]:
    """Stored records with a document or uri that shall not be there any more."""
    place = _places(rows)
    return [
        text
        for text, document, uri in zip(stored["ids"], stored["documents"], stored["uris"], strict=True)
        if (document is not None and rows.documents[place[text]] is None)
        or (uri is not None and rows.uris[place[text]] is None)
    ]


def _patched(rows: Rows, metadatas: Sequence[Metadata], stored: Mapping[str, Any]) -> Rows:
    """The rows with every stored key that they do not have named as None."""
    if not stored["ids"]:
        return rows
    place, patches = _places(rows), list(rows.metadatas)
    for text, metadata in zip(stored["ids"], stored["metadatas"], strict=True):
        row = place[text]
        vanished = (metadata or {}).keys() - metadatas[row].keys()
        if vanished:
            patches[row] = {**metadatas[row], **dict.fromkeys(vanished)}
    return Rows(rows.ids, rows.vectors, rows.documents, patches, rows.uris)


def _with_more_keys(rows: Rows, metadatas: Sequence[Metadata], seen: Mapping[str, Any]) -> list[int]:
    """The rows that show more keys than were written."""
    place = _places(rows)
    return [
        place[text]
        for text, metadata in zip(seen["ids"], seen["metadatas"], strict=True)
        if metadata and len(metadata) > len(metadatas[place[text]])
    ]


def _chosen(rows: Rows, wanted: list[int]) -> Rows:
    return Rows(
        [rows.ids[row] for row in wanted],
        rows.vectors[wanted],
        [rows.documents[row] for row in wanted],
        [rows.metadatas[row] for row in wanted],
        [rows.uris[row] for row in wanted],
    )
