"""Payload keys of batches: how many different values, which are common, how long the longest is and whose.

Payloads of one shape (the same keys with the same Python types) are looked at together, column by column. What is
seen of a column is first reduced to its different values, so that a category of ten thousand records costs one pass
in C and a hash for each of its few values.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from vecferry import batch as columns
from vecferry import canonical
from vecferry.survey.distinct import Distinct
from vecferry.survey.findings import KeySurvey
from vecferry.survey.lengths import id_at

__all__ = ["MAX_KEYS", "TOP_SHOWN", "TOP_TRACKED", "PayloadKeys"]

MAX_KEYS = 1000
"""Keys that are looked at one by one, at some 200 KiB each: `distinct.DISTINCT_HASHES`, and the common values."""

TOP_TRACKED = 250
"""Different values of one key that are counted each; a key with more has no most common values."""

TOP_SHOWN = 5
_TOP_BYTES = 100
"""A key with a longer value among them has no most common values either: they would take too much memory."""

Hashes = npt.NDArray[np.uint64]
Shape = tuple[tuple[str, ...], tuple[type, ...]]


class _Key:
    """What is known of one key while it grows."""

    def __init__(self) -> None:
        self.values = self.longest_bytes = 0
        self.longest_id = ""
        self.distinct = Distinct()
        self.top: Counter[tuple[type, Any]] | None = Counter()

    def observe(self, kind: type, values: Sequence[Any], name_of: Callable[[int], str]) -> None:
        """Take values of one Python type; `name_of(i)` is the id of the record with the i-th."""
        self.values += len(values)
        texts = list(map(canonical.encode, values)) if kind in _NESTED else None
        counted = Counter(values if texts is None else texts)
        self.distinct.add(_hashes(kind, list(counted)))
        self._count_top(kind, counted, nested=texts is not None)
        if kind is str or texts is not None:
            self._measure(values if texts is None else texts, name_of)

    def _count_top(self, kind: type, counted: Counter[Any], *, nested: bool) -> None:
        if self.top is None:
            return
        too_long = kind in (str, *_NESTED) and max(map(len, counted)) > _TOP_BYTES
        if nested or too_long or len(counted) > TOP_TRACKED:
            self.top = None
            return
        for value, count in counted.items():
            self.top[kind, value] += count
        if len(self.top) > TOP_TRACKED:
            self.top = None

    def _measure(self, values: Sequence[str] | Sequence[bytes], name_of: Callable[[int], str]) -> None:
        if _at_most(values, self.longest_bytes):
            return
        sizes = [len(_bytes(value)) for value in values]
        longest = max(sizes)
        if longest > self.longest_bytes:
            self.longest_bytes, self.longest_id = longest, name_of(sizes.index(longest))

    def merge(self, other: _Key) -> None:
        """Take everything that another one saw."""
        self.values += other.values
        self.distinct.merge(other.distinct)
        if other.longest_bytes > self.longest_bytes:
            self.longest_bytes, self.longest_id = other.longest_bytes, other.longest_id
        if self.top is None or other.top is None:
            self.top = None
            return
        self.top.update(other.top)
        if len(self.top) > TOP_TRACKED:
            self.top = None

    def survey(self) -> KeySurvey:
        """What is known, frozen."""
        common = () if self.top is None else self.top.most_common(TOP_SHOWN)
        return KeySurvey(
            self.values,
            self.distinct.count,
            self.distinct.exact,
            self.longest_bytes,
            self.longest_id,
            tuple((canonical.encode(value).decode(), count) for (_, value), count in common),
        )


class PayloadKeys:
    """Observes payload columns."""

    def __init__(self) -> None:
        self.size_bytes = self.values = 0
        self.more_keys = False
        self._keys: dict[str, _Key] = {}

    def observe(self, batch: pa.RecordBatch) -> None:
        """Take the payloads of one batch."""
        payloads = batch.column(columns.PAYLOAD)
        self.size_bytes += pc.sum(pc.binary_length(payloads)).as_py() or 0
        values = canonical.decode_many(payloads.cast(pa.binary()).to_pylist())
        for (names, kinds), (rows, found) in _shapes(values).items():
            self.values += len(names) * len(rows)
            for name, kind, column in zip(names, kinds, zip(*found, strict=True), strict=True):
                key = self._key(name)
                if key is not None:
                    key.observe(kind, column, lambda at, rows=rows: id_at(batch, rows[at]))  # type: ignore[misc]

    def _key(self, name: str) -> _Key | None:
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= MAX_KEYS:
                self.more_keys = True
                return None
            key = self._keys[name] = _Key()
        return key

    def merge(self, other: PayloadKeys) -> None:
        """Take everything that another one saw; it must not be used afterwards."""
        self.size_bytes += other.size_bytes
        self.values += other.values
        self.more_keys |= other.more_keys
        for name, found in other._keys.items():
            key = self._key(name)
            if key is not None:
                key.merge(found)

    def keys(self) -> dict[str, KeySurvey]:
        """What is known of each key, by its name as the profile writes it."""
        return {
            name.encode("utf-8", "backslashreplace").decode(): key.survey() for name, key in sorted(self._keys.items())
        }


def _shapes(values: Sequence[dict[str, Any]]) -> dict[Shape, tuple[list[int], list[Any]]]:
    """Rows and values of payloads, grouped by their keys and types."""
    shapes: dict[Shape, tuple[list[int], list[Any]]] = {}
    for row, payload in enumerate(values):
        found = payload.values()
        shape = (tuple(payload), tuple(map(type, found)))
        known = shapes.get(shape)
        if known is None:
            known = shapes[shape] = ([], [])
        known[0].append(row)
        known[1].append(found)
    return shapes


def _at_most(values: Sequence[str] | Sequence[bytes], size_bytes: int) -> bool:
    """Whether a look at the lengths in characters, of 1 to 4 bytes, shows that no value is longer."""
    longest = max(map(len, values))
    if isinstance(values[0], str):
        return longest * 4 <= size_bytes or (longest <= size_bytes and "".join(values).isascii())  # type: ignore[arg-type]
    return longest <= size_bytes


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


_NESTED = (list, dict)


def _hashes(kind: type, values: Sequence[Any]) -> Hashes:
    """`(n,) uint64` hashes of different values of one type; equal values of two types have different ones."""
    seed = zlib.crc32(kind.__name__.encode())
    if kind is float:
        return _mixed(np.array(values, dtype=np.float64).view(np.uint64), seed)
    if kind is int and max(values) < 2**63 and min(values) >= -(2**63):
        return _mixed(np.array(values, dtype=np.int64).view(np.uint64), seed)
    if kind is str:
        try:
            return _of_texts(list(map(str.encode, values)), seed)
        except UnicodeEncodeError:
            return _of_texts(list(map(_bytes, values)), seed)
    if kind in _NESTED:
        return _of_texts(values, seed)
    return _of_texts(list(map(canonical.encode, values)), seed)


def _of_texts(texts: Sequence[bytes], seed: int) -> Hashes:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts, repeat(seed)), dtype=np.uint64, count=len(texts))


def _mixed(bits: Hashes, seed: int) -> Hashes:
    """Every bit of the numbers spread over all bits (the finaliser of SplitMix64, which loses none)."""
    bits = bits ^ np.uint64(seed)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
