"""The JSONL beside an array: line i holds row i's payload as a flat object, its key `id` the record's id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from vecferry import hashing
from vecferry.errors import BadRecord
from vecferry.model import IdKind
from vecferry.stores.file_store import IdIndex
from vecferry.stores.json_ids import typed_id
from vecferry.stores.json_text import is_exact, parse_quickly, parse_strictly, payload_text, quick_text

__all__ = ["Lines"]

_BLOCK_ROWS = 10_000
_BOM = b"\xef\xbb\xbf"
_NONE = object()


class Line(NamedTuple):
    """One line; `stated`: it has an id of its own."""

    text: str
    kind: IdKind
    payload: bytes
    stated: bool


class Lines:
    """Reads lines by their number. Making it reads the file once; memory is 24 bytes a line.

    `kinds`: kinds of the ids; `notes`: what a plan should say of them.
    """

    def __init__(self, path: Path, tagged: bool) -> None:
        self._path = path
        self._tagged = tagged
        hashes: list[npt.NDArray[np.uint8]] = []
        kinds: set[IdKind] = set()
        self._places = self._scan(hashes, kinds)
        self.rows = len(self._places) - 1
        self._index = IdIndex(hashes)
        self.kinds = frozenset(kinds)
        self.notes = self._notes()

    def _scan(self, hashes: list[npt.NDArray[np.uint8]], kinds: set[IdKind]) -> npt.NDArray[np.int64]:
        """`(n + 1,)`: where each line begins, and where the last one ends."""
        self._without_id = 0
        blocks = [np.zeros(1, dtype=np.int64)]
        place, row = 0, 0
        for block in _blocks(self._path):
            found = [self._record(line, row + at) for at, line in enumerate(block)]
            row += len(block)
            kinds.update(line.kind for line in found)
            self._without_id += sum(not line.stated for line in found)
            hashes.append(hashing.hash_ids([line.text.encode() for line in found], [line.kind for line in found]))
            ends = place + np.cumsum([len(line) for line in block], dtype=np.int64)
            blocks.append(ends)
            place = int(ends[-1])
        return np.concatenate(blocks)

    def _notes(self) -> tuple[str, ...]:
        if not self.rows:
            return ()
        with_id = self.rows - self._without_id
        notes = [f"the key id of {with_id} lines is the record's id and is not part of its payload"] * bool(with_id)
        return (*notes, *[f"{self._without_id} lines have no id: their row number is the id"] * bool(self._without_id))

    def index(self) -> IdIndex:
        """Where each id is."""
        return self._index

    def take(self, rows: Sequence[int]) -> tuple[list[str], list[IdKind], list[bytes]]:
        """Id texts, id kinds and payload texts of these rows."""
        with self._path.open("rb") as stream:
            runs = [rows] if isinstance(rows, range) else [range(row, row + 1) for row in rows]
            texts = [text for run in runs for text in self._run(stream, run)]
        found = [self._record(text, row) for text, row in zip(texts, rows, strict=True)]
        return [line.text for line in found], [line.kind for line in found], [line.payload for line in found]

    def _run(self, stream: BinaryIO, rows: range) -> list[bytes]:
        """The lines of consecutive rows, from one read."""
        places = self._places[rows.start : rows.stop + 1].tolist()
        stream.seek(places[0])
        block = stream.read(places[-1] - places[0])
        return [block[start - places[0] : end - places[0]] for start, end in pairwise(places)]

    def _record(self, line: bytes, row: int) -> Line:
        text = line.strip().removeprefix(_BOM) if row == 0 else line.strip()
        try:
            return self._exact(text, row)
        except ValueError as error:
            raise BadRecord(
                f"{self._path}, line {row + 1}: {error}", advice="each line must be one JSON object"
            ) from error

    def _exact(self, text: bytes, row: int) -> Line:
        value = parse_quickly(text)
        if isinstance(value, dict):
            stated = value.pop("id", _NONE)
            payload = quick_text(value)
            colons = (stated is not _NONE) + (stated.count(":") if isinstance(stated, str) else 0)
            if payload is not None and is_exact(text, colons + payload.count(b":"), payload):
                return self._line(stated, row, payload)
        value = parse_strictly(text)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        stated = value.pop("id", _NONE)
        return self._line(stated, row, payload_text(value, tagged=self._tagged))

    def _line(self, stated: Any, row: int, payload: bytes) -> Line:
        if stated is _NONE:
            return Line(str(row), IdKind.UINT64, payload, False)
        return Line(*typed_id(stated, uuids=False), payload, True)


def _blocks(path: Path) -> Iterator[list[bytes]]:
    """The lines in blocks, without blank ones at the end (one in the middle is a line that is broken)."""
    with path.open("rb") as stream:
        block: list[bytes] = []
        blank: list[bytes] = []
        for line in stream:
            if not line.strip():
                blank.append(line)
                continue
            block += [*blank, line]
            blank = []
            if len(block) >= _BLOCK_ROWS:
                yield block
                block = []
        if block:
            yield block
