"""Payloads of batches as counts per key.

Payloads of one shape (the same keys with the same Python types) are looked at together, column by
column, so that ordinary data cost one look-up a record and a few C calls a column.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import canonical
from vecferry.capabilities import PayloadType
from vecferry.mapping import floats, kinds
from vecferry.mapping.extent import Extent, Sizes, measured
from vecferry.mapping.profile import LONG_VALUE_BYTES, MAX_KEYS, KeyProfile, PayloadProfile

__all__ = ["PayloadProfiler", "value_bytes"]

Shape = tuple[tuple[str, ...], tuple[type, ...]]
_FLAT = frozenset({PayloadType.STRING_LIST, PayloadType.BOOL_LIST, PayloadType.EMPTY_LIST})
_TAG_PATTERN = '"[$]vecferry"'


@dataclass(slots=True)
class _Key:
    """The counts of one key while they grow."""

    types: Counter[PayloadType] = field(default_factory=Counter)
    integer_min: int | None = None
    integer_max: int | None = None
    float_min: float | None = None
    float_max: float | None = None
    longest_string_bytes: int = 0
    depth: int = 0
    negative_zeros: int = 0
    long_values: Extent = field(default_factory=lambda: Extent(floor=LONG_VALUE_BYTES))

    def integers(self, low: int, high: int) -> None:
        """Take integers between these."""
        self.integer_min = low if self.integer_min is None else min(self.integer_min, low)
        self.integer_max = high if self.integer_max is None else max(self.integer_max, high)

    def floats(self, low: float, high: float) -> None:
        """Take finite floats between these."""
        self.float_min = low if self.float_min is None else min(self.float_min, low)
        self.float_max = high if self.float_max is None else max(self.float_max, high)

    def observe(self, kind: type, values: Sequence[Any]) -> None:
        """Take values of one Python type."""
        _COLUMNS.get(kind, _others)(self, values)

    def merge(self, other: KeyProfile) -> None:
        """Take what another profile of this key holds."""
        self.types.update(other.types)
        if other.integer_min is not None and other.integer_max is not None:
            self.integers(other.integer_min, other.integer_max)
        if other.float_min is not None and other.float_max is not None:
            self.floats(other.float_min, other.float_max)
        self.longest_string_bytes = max(self.longest_string_bytes, other.longest_string_bytes)
        self.depth = max(self.depth, other.depth)
        self.negative_zeros += other.negative_zeros
        self.long_values += other.long_values

    def profile(self) -> KeyProfile:
        """The counts, frozen."""
        return KeyProfile(
            dict(self.types),
            self.integer_min,
            self.integer_max,
            self.float_min,
            self.float_max,
            self.longest_string_bytes,
            self.depth,
            self.negative_zeros,
            self.long_values,
        )


def _nulls(key: _Key, values: Sequence[Any]) -> None:
    key.types[PayloadType.NULL] += len(values)


def _bools(key: _Key, values: Sequence[Any]) -> None:
    key.types[PayloadType.BOOL] += len(values)


def _integers(key: _Key, values: Sequence[int]) -> None:
    key.types[PayloadType.INTEGER] += len(values)
    key.integers(min(values), max(values))


def _floats(key: _Key, values: Sequence[float]) -> None:
    finite = values if all(map(math.isfinite, values)) else [value for value in values if math.isfinite(value)]
    if len(finite) < len(values):
        key.types[PayloadType.SPECIAL] += len(values) - len(finite)
    if finite:
        key.types[PayloadType.FLOAT] += len(finite)
        key.floats(min(finite), max(finite))
        if 0.0 in finite:
            key.negative_zeros += sum(map(_is_negative_zero, finite))


def _is_negative_zero(value: float) -> bool:
    return value == 0.0 and math.copysign(1.0, value) < 0


def _strings(key: _Key, values: Sequence[str]) -> None:
    try:
        longest = max(map(len, map(str.encode, values)))
    except UnicodeEncodeError:
        _others(key, values)
        return
    key.types[PayloadType.STRING] += len(values)
    key.longest_string_bytes = max(key.longest_string_bytes, longest)


def _others(key: _Key, values: Iterable[Any]) -> None:
    for value in values:
        kind = kinds.classify(value)
        key.types[kind] += 1
        if kind is PayloadType.STRING:
            key.longest_string_bytes = max(key.longest_string_bytes, len(value.encode()))
        elif kind in _FLAT:
            key.depth = max(key.depth, 1)
        elif kind is PayloadType.INTEGER_LIST:
            key.depth = max(key.depth, 1)
            key.integers(min(value), max(value))
        else:
            key.depth = max(key.depth, kinds.depth(value))
            _numbers(key, value)


def _numbers(key: _Key, value: Any) -> None:
    found_negative_zero = False
    for number in kinds.numbers(value):
        if isinstance(number, int):
            key.integers(number, number)
        elif math.isfinite(number):
            key.floats(number, number)
            found_negative_zero |= _is_negative_zero(number)
    key.negative_zeros += found_negative_zero


_COLUMNS: dict[type, Callable[[_Key, Sequence[Any]], None]] = {
    type(None): _nulls,
    bool: _bools,
    int: _integers,
    float: _floats,
    str: _strings,
}


class PayloadProfiler:
    """Observes payload columns."""

    def __init__(self) -> None:
        self._rows = self._size_bytes = self._special_rows = self._one_pass_rows = self._two_passes_rows = 0
        self._keys: dict[str, _Key] = {}
        self._more_keys = False
        self._sizes = self._key_counts = Extent()
        self._longest_key_bytes = 0

    def observe(self, payloads: pa.StringArray, named: Callable[[int], str] = str) -> None:
        """Take one column of canonical payload texts; `named` gives the id of a row."""
        sizes = pc.binary_length(payloads).to_numpy(zero_copy_only=False)
        self._rows += len(payloads)
        self._size_bytes += int(sizes.sum())
        self._sizes += measured(sizes, named)
        self._special_rows += pc.sum(pc.match_substring_regex(payloads, _TAG_PATTERN)).as_py() or 0
        self._observe_floats(payloads)
        values = canonical.decode_many(payloads.cast(pa.binary()).to_pylist())
        self._key_counts += measured(np.fromiter(map(len, values), np.int64, len(values)), named)
        self._observe_long(np.flatnonzero(sizes > LONG_VALUE_BYTES), values, named)
        for (names, types), rows in _shapes(values).items():
            for name, kind, column in zip(names, types, zip(*rows, strict=True), strict=True):
                key = self._key(name)
                if key is not None:
                    key.observe(kind, column)

    def _observe_long(self, rows: Sizes, values: Sequence[dict[str, Any]], named: Callable[[int], str]) -> None:
        """The long values of rows that are long enough to have some."""
        found = defaultdict[str, list[tuple[int, int]]](list)
        for row in rows.tolist():
            for name, value in values[row].items():
                size = value_bytes(value)
                if size > LONG_VALUE_BYTES:
                    found[name].append((size, row))
        for name, long in found.items():
            key = self._key(name)
            if key is not None:
                sizes, places = zip(*long, strict=True)
                key.long_values += measured(np.array(sizes), _at(named, places), LONG_VALUE_BYTES)

    def _observe_floats(self, payloads: pa.StringArray) -> None:
        rows, once = floats.changed_texts(payloads, 1)
        self._one_pass_rows += len(rows)
        # A float that one reading leaves alone, a second one leaves alone too; a second one may also undo the first.
        before = payloads.take(pa.array(rows, pa.int64())).cast(pa.binary()).to_pylist()
        twice = (floats.predict_text(text, 1) for text in once)
        self._two_passes_rows += sum(new != old for new, old in zip(twice, before, strict=True))

    def _key(self, name: str) -> _Key | None:
        key = self._keys.get(name)
        if key is None:
            self._longest_key_bytes = max(self._longest_key_bytes, len(name.encode("utf-8", "surrogatepass")))
            if len(self._keys) >= MAX_KEYS:
                self._more_keys = True
                return None
            key = self._keys[name] = _Key()
        return key

    def merge(self, other: PayloadProfiler) -> None:
        """Take everything that another one saw."""
        found = other.profile()
        self._rows += found.rows
        self._size_bytes += found.size_bytes
        self._special_rows += found.special_rows
        self._one_pass_rows += found.inexact_one_pass_rows
        self._two_passes_rows += found.inexact_two_passes_rows
        self._more_keys |= found.more_keys
        self._sizes += found.sizes
        self._key_counts += found.key_counts
        self._longest_key_bytes = max(self._longest_key_bytes, found.longest_key_bytes)
        # Not those of the profile, whose names are made fit to be shown.
        for name, counts in other._keys.items():
            key = self._key(name)
            if key is not None:
                key.merge(counts.profile())

    def profile(self) -> PayloadProfile:
        """What was seen so far. A key with lone surrogates is shown with them escaped."""
        return PayloadProfile(
            self._rows,
            self._size_bytes,
            {name.encode("utf-8", "backslashreplace").decode(): key.profile() for name, key in self._keys.items()},
            self._more_keys,
            self._special_rows,
            self._one_pass_rows,
            self._two_passes_rows,
            self._sizes,
            self._key_counts,
            self._longest_key_bytes,
        )


def _at(named: Callable[[int], str], rows: Sequence[int]) -> Callable[[int], str]:
    """The ids of some rows by their position among these."""
    return lambda at: named(rows[at])


def value_bytes(value: Any) -> int:
    """What a store with a limit would count: a string's own bytes, the JSON text of any other value."""
    return len(value.encode("utf-8", "surrogatepass") if type(value) is str else canonical.encode(value))


def _shapes(values: Sequence[dict[str, Any]]) -> dict[Shape, list[Iterable[Any]]]:
    """Payload values grouped by their keys and types."""
    shapes: dict[Shape, list[Iterable[Any]]] = {}
    for payload in values:
        columns = payload.values()
        shape = (tuple(payload), tuple(map(type, columns)))
        rows = shapes.get(shape)
        if rows is None:
            shapes[shape] = [columns]
        else:
            rows.append(columns)
    return shapes
