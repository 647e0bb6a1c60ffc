"""The JSON beside an index: an object of objects by row number or id, or a list of objects by row number."""

from __future__ import annotations

import os
import re
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vecferry import hashing
from vecferry.errors import BadRecord, StoreRefused
from vecferry.model import IdKind
from vecferry.stores.json_ids import typed_id
from vecferry.stores.json_splitter import Cursor, Malformed
from vecferry.stores.json_text import is_exact, object_text, parse_quickly, parse_strictly, payload_text, quick_text

__all__ = ["Entry", "Metadata", "Stated"]

_KEY = re.compile(rb'"(-?(?:0|[1-9][0-9]{0,18}))"')
_BOM = b"\xef\xbb\xbf"
_PICKLE = b"\x80"
_NONE = object()
_SPREAD = 4

Numbers = npt.NDArray[np.int64]


class Stated(NamedTuple):
    """An id that metadata state."""

    text: str
    kind: IdKind


class Entry(NamedTuple):
    """One object: its payload as canonical text, and the id that it states."""

    payload: bytes
    stated: Stated | None


class Metadata:
    """Reads entries by their number in the file. Making it reads the file once.

    `keys` `(n,) int64`: the key of each entry, for a list its place. `odd`: keys that are no numbers. `stated`
    `(n,) bool`: which entries state an id, and `kinds` of which kinds, both only where `with_ids`. `tagged`: vecferry
    wrote the file. Memory: 33 bytes an entry, 49 where it states an id.
    """

    def __init__(self, path: Path, *, tagged: bool, with_ids: bool) -> None:
        self._path, self._tagged, self._with_ids = path, tagged, with_ids
        self._handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        self.odd: list[str] = []
        self.is_list = False
        hashes, kinds = bytearray(), set[IdKind]()
        self.keys, self._places, self._sizes, self._slots = self._scan(hashes, kinds)
        self._hashes = np.frombuffer(bytes(hashes), dtype=np.uint8).reshape(-1, hashing.HASH_BYTES)
        self.kinds = frozenset(kinds)
        self.stated = self._slots >= 0
        self._refuse_twins()

    def stated_hashes(self, entries: Numbers) -> npt.NDArray[np.uint8]:
        """Hashes of the ids that these entries state, `(n, 16) uint8`; all of them must state one."""
        return self._hashes[self._slots[entries]]

    def _scan(self, hashes: bytearray, kinds: set[IdKind]) -> list[Numbers]:
        """Key, place, size and slot in `hashes` (-1: no id) of each entry: four columns `(n,) int64`."""
        columns = [array("q") for _ in range(4)]
        for key, place, text in self._entries():
            found = self._parse(text, key).stated if self._with_ids and _may_state(text) else None
            slot = -1 if found is None else len(hashes) // hashing.HASH_BYTES
            for column, number in zip(columns, (key, place, len(text), slot), strict=True):
                column.append(number)
            if found is not None:
                kinds.add(found.kind)
                hashes += hashing.hash_ids([found.text.encode()], [found.kind]).tobytes()
        return [np.array(column, dtype=np.int64) for column in columns]

    def _entries(self) -> Iterator[tuple[int, int, bytes]]:
        """Key, place and raw text of each entry with a number as its key."""
        with self._path.open("rb") as stream:
            start = stream.read(3)
            if start.startswith(_PICKLE):
                raise StoreRefused(f"{self._path} is a pickle, which is never loaded", advice="save it as JSON")
            cursor = Cursor(stream, 3 if start == _BOM else 0)
            try:
                yield from self._walk(cursor)
            except Malformed as error:
                raise BadRecord(f"{self._path} is not JSON at byte {error.offset}: {error}") from error

    def _walk(self, cursor: Cursor) -> Iterator[tuple[int, int, bytes]]:
        self.is_list = cursor.take_if(b"[")
        if not self.is_list and not cursor.take_if(b"{"):
            raise BadRecord(f"{self._path} is neither an object of objects nor a list of them")
        end, number = b"]" if self.is_list else b"}", 0
        while not cursor.take_if(end):
            if number:
                cursor.take(b",")
            key = number if self.is_list else self._key(cursor)
            place, text = cursor.value()
            if key is not None:
                yield key, place, text
            number += 1
        if cursor.peek():
            raise BadRecord(f"{self._path} goes on after its end at byte {cursor.offset}")

    def _key(self, cursor: Cursor) -> int | None:
        """The next key as a number, or None where it is none."""
        if cursor.peek() != b'"':
            raise BadRecord(f"{self._path} has no key at byte {cursor.offset}")
        _, text = cursor.value()
        cursor.take(b":")
        found = _KEY.fullmatch(text)
        if found and -(2**63) <= int(found[1]) < 2**63:
            return int(found[1])
        self.odd.append(text[1:61].decode("utf-8", "replace").removesuffix('"'))
        return None

    def _refuse_twins(self) -> None:
        ordered = np.sort(self.keys)
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(same):
            raise BadRecord(f"{self._path} has the key {ordered[same[0]]} more than once")

    def take(self, entries: Numbers) -> list[Entry]:
        """These entries, in this order."""
        places, sizes = self._places[entries], self._sizes[entries]
        found = zip(self._texts(places, sizes), self.keys[entries].tolist(), strict=True)
        return [self._parse(text, key) for text, key in found]

    def _texts(self, places: Numbers, sizes: Numbers) -> list[bytes]:
        """Raw texts; from one read where they lie close together."""
        if not len(places):
            return []
        low, high = int(places.min()), int((places + sizes).max())
        pairs = zip(places.tolist(), sizes.tolist(), strict=True)
        if high - low > _SPREAD * (int(sizes.sum()) + 64 * len(sizes)):
            return [os.pread(self._handle, size, place) for place, size in pairs]
        block = os.pread(self._handle, high - low, low)
        return [block[place - low : place - low + size] for place, size in pairs]

    def _parse(self, text: bytes, key: int) -> Entry:
        try:
            if text == b"null":
                return Entry(b"{}", None)
            if not self._with_ids or not _may_state(text):
                return Entry(object_text(text, tagged=self._tagged), None)
            return self._split(text)
        except ValueError as error:
            raise BadRecord(f"{self._path}, key {key}: {error}", advice="each entry must be one JSON object") from error

    def _split(self, text: bytes) -> Entry:
        """An entry whose key `id` is the record's id."""
        value = parse_quickly(text)
        if isinstance(value, dict):
            stated = value.pop("id", _NONE)
            payload = quick_text(value)
            colons = (stated is not _NONE) + (stated.count(":") if isinstance(stated, str) else 0)
            if payload is not None and is_exact(text, colons + payload.count(b":"), payload):
                return Entry(payload, _stated(stated))
        value = parse_strictly(text)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        stated = value.pop("id", _NONE)
        return Entry(payload_text(value, tagged=self._tagged), _stated(stated))


def _may_state(text: bytes) -> bool:
    """Whether an entry may have a key `id`; a quick look that never misses one."""
    return b'"id"' in text or b"\\u00" in text


def _stated(value: Any) -> Stated | None:
    return None if value is _NONE else Stated(*typed_id(value, uuids=False))
