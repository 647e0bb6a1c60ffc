"""Which records belong to one group: conditions on one key of the payload, exact by value and type.

Every record is taken by exactly one of a set of groups: those with a value (`Equals`), within a range (`Between`)
or without the key (`Missing`), and all that none of them takes (`Others`). Values are compared by their canonical
JSON text, so that 1, 1.0, "1", true, null and a list are all different, as are -0.0 and 0.0, and NaN equals NaN.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import canonical
from vecferry.errors import ConfigError

__all__ = [
    "Between",
    "Border",
    "Condition",
    "Equals",
    "Missing",
    "Others",
    "Ranges",
    "from_plain",
    "matches",
    "matches_any",
    "to_plain",
    "value_texts",
]

Mask = npt.NDArray[np.bool_]

_FIRST = dt.datetime.min.replace(tzinfo=dt.UTC)

Border = str | int | float | None
"""A date (ISO 8601, in UTC where it has no zone), a number, or None: no border on this side."""


@dataclass(frozen=True, slots=True)
class Equals:
    """Records whose value under `field` has the canonical JSON text `key`, null among them."""

    field: str
    key: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Records without the key `field`; a null under it is a value."""

    field: str


@dataclass(frozen=True, slots=True)
class Between:
    """Records whose value lies in the half-open range from `start` up to, and without, `end`.

    Between dates: texts in ISO 8601 (a zone counts, none means UTC) and the datetimes of engines that have them.
    Between numbers: finite integers and floats. Any other value is in no range. Raises ConfigError for borders of two
    sorts, none at all, ones that cannot be read, or an empty range.
    """

    field: str
    start: Border
    end: Border

    def __post_init__(self) -> None:
        start, end = _border(self.start), _border(self.end)
        if start is None and end is None:
            raise ConfigError(f"a range of {self.field!r} has neither start nor end", advice="give one of them")
        if start is None or end is None:
            return
        if isinstance(start, dt.datetime) is not isinstance(end, dt.datetime):
            raise ConfigError(f"the range {self.text} lies between a date and a number", advice="give two of one sort")
        if not start < end:
            raise ConfigError(f"the range {self.text} is empty", advice="a range ends after its start")

    @property
    def text(self) -> str:
        """The range as people read it."""
        return f"{_shown(self.start)}..{_shown(self.end)}"

    @property
    def dated(self) -> bool:
        """Whether the range lies between dates."""
        return isinstance(_border(self.start if self.end is None else self.end), dt.datetime)

    def has(self, value: Any) -> bool:
        """Whether a value lies in the range."""
        return Ranges((self,)).of(value) is self


class Ranges:
    """Disjoint ranges of one field, to find the one of a value quickly. Raises ConfigError for ranges that overlap."""

    def __init__(self, ranges: Sequence[Between]) -> None:
        self._dates = _line([one for one in ranges if one.dated], _FIRST)
        self._numbers = _line([one for one in ranges if not one.dated], -math.inf)

    def of(self, value: Any) -> Between | None:
        """The range that a value lies in; None where it is in none, or is neither a date nor a number."""
        if self._dates and (moment := _moment(value)) is not None:
            return _place(self._dates, moment)
        if self._numbers and (number := _number(value)) is not None:
            return _place(self._numbers, number)
        return None


_Line = tuple[list[Any], list[Between]]


def _line(ranges: Sequence[Between], least: Any) -> _Line | None:
    """Where ranges start, ascending, and the ranges in that order."""
    if not ranges:
        return None
    started = [(least if one.start is None else _border(one.start), one) for one in ranges]
    started.sort(key=lambda pair: pair[0])
    for (_, one), (start, other) in pairwise(started):
        if one.end is None or _border(one.end) > start:
            raise ConfigError(
                f"the ranges {one.text} and {other.text} overlap, so some records would be in both",
                advice="a range ends where the next one starts: the end is not part of it",
            )
    return [start for start, _ in started], [one for _, one in started]


def _place(line: _Line, found: Any) -> Between | None:
    starts, ranges = line
    at = bisect_right(starts, found) - 1
    if at < 0:
        return None
    end = ranges[at].end
    return ranges[at] if end is None or found < _border(end) else None


@dataclass(frozen=True, slots=True)
class Others:
    """Every record that none of `conditions`, all on `field`, takes."""

    field: str
    conditions: tuple[Equals | Missing | Between, ...]


Condition = Equals | Missing | Between | Others

_KINDS: dict[type, str] = {Equals: "equals", Missing: "missing", Between: "between", Others: "others"}


def to_plain(condition: Condition) -> dict[str, Any]:
    """Plain JSON that `from_plain` reads."""
    found: dict[str, Any] = {"kind": _KINDS[type(condition)], "field": condition.field}
    if isinstance(condition, Others):
        return {**found, "conditions": [*map(to_plain, condition.conditions)]}
    if isinstance(condition, Between):
        return {**found, "start": condition.start, "end": condition.end}
    return {**found, "key": condition.key} if isinstance(condition, Equals) else found


def from_plain(data: Any) -> Condition:
    """The condition that `to_plain` wrote. Raises ValueError for anything else, ConfigError for a range of nothing."""
    if isinstance(data, dict) and data.get("kind") == "others" and isinstance(data.get("conditions"), list):
        return Others(_text(data, "field"), tuple(map(_simple, data["conditions"])))
    return _simple(data)


def _simple(data: Any) -> Equals | Missing | Between:
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind == "equals":
        return Equals(_text(data, "field"), _text(data, "key"))
    if kind == "missing":
        return Missing(_text(data, "field"))
    if kind != "between" or not {"start", "end"} <= data.keys():
        raise ValueError(f"not a condition: kind {kind!r}")
    for border in (data["start"], data["end"]):
        if border is not None and (isinstance(border, bool) or not isinstance(border, str | int | float)):
            raise ValueError(f"not a condition: a border is {border!r}")
    return Between(_text(data, "field"), data["start"], data["end"])


def _text(data: dict[str, Any], name: str) -> str:
    found = data.get(name)
    if not isinstance(found, str):
        raise ValueError(f"not a condition: its {name} is {found!r}")
    return found


# Matching


def matches(condition: Condition, batch: pa.RecordBatch) -> Mask:
    """`(n,) bool`: the records of a batch, read with its payload, that a condition takes."""
    return matches_any((condition,), batch)


def matches_any(conditions: Sequence[Condition], batch: pa.RecordBatch) -> Mask:
    """`(n,) bool`: the records that at least one of the conditions takes."""
    payloads, taken = batch.column(columns.PAYLOAD), np.zeros(batch.num_rows, dtype=np.bool_)
    if len(conditions) == 1 and isinstance(conditions[0], Equals):
        return _equal(conditions[0], payloads)
    for field in dict.fromkeys(condition.field for condition in conditions):
        texts = value_texts(payloads, field)
        taken |= _taken([condition for condition in conditions if condition.field == field], texts)
    return taken


def value_texts(payloads: pa.StringArray, field: str) -> pa.StringArray:
    """The canonical JSON text of each payload's value under `field`, null where there is no such key, `(n,)`.

    Payloads that are flat are read by one regular expression over the column, the others parsed where the key occurs.
    """
    rows = len(payloads)
    candidates = _occurs(payloads, f"{_quoted(field)}:")
    if not candidates.any():
        return pa.nulls(rows, pa.string())
    found, settled = _flat_values(payloads, field, candidates)
    parsed = np.flatnonzero(candidates & ~settled)
    if not len(parsed):
        return found
    values = canonical.decode_many(payloads.take(pa.array(parsed)).cast(pa.binary()).to_pylist())
    texts = [canonical.encode(value[field]) if field in value else None for value in values]
    places = np.arange(rows)
    places[parsed] = rows + np.arange(len(parsed))
    return pa.concat_arrays([found, pa.array(texts, pa.binary()).cast(pa.string())]).take(pa.array(places))


def _equal(condition: Equals, payloads: pa.StringArray) -> Mask:
    candidates = _occurs(payloads, f"{_quoted(condition.field)}:{condition.key}")
    if not candidates.any():
        return candidates
    rows = np.flatnonzero(candidates)
    texts = value_texts(payloads.take(pa.array(rows)), condition.field)
    candidates[rows] = _mask(pc.equal(texts, condition.key))
    return candidates


def _taken(conditions: Sequence[Condition], texts: pa.StringArray) -> Mask:
    """`(n,) bool`: values under the conditions' one field that at least one of them takes."""
    keys = [condition.key for condition in conditions if isinstance(condition, Equals)]
    taken = _mask(pc.is_in(texts, value_set=pa.array(keys, pa.string())))
    if any(isinstance(condition, Missing) for condition in conditions):
        taken |= _mask(texts.is_null())
    ranges = [condition for condition in conditions if isinstance(condition, Between)]
    if ranges:
        taken |= _ranged(ranges, texts)
    for condition in conditions:
        if isinstance(condition, Others):
            taken |= ~_taken(condition.conditions, texts)
    return taken


def _ranged(ranges: Sequence[Between], texts: pa.StringArray) -> Mask:
    """`(n,) bool`: values in one of the ranges; each different value is read once."""
    coded = texts.dictionary_encode()
    values = canonical.decode_many(coded.dictionary.cast(pa.binary()).to_pylist())
    table = Ranges(ranges)
    inside = pa.array([table.of(value) is not None for value in values], pa.bool_())
    return _mask(inside.take(coded.indices))


def _occurs(payloads: pa.StringArray, text: str) -> Mask:
    """`(n,) bool`: payloads in which a text occurs, and those whose keys are written in another way."""
    tagged = _mask(pc.starts_with(payloads, _TAGGED))
    return tagged if not _is_unicode(text) else tagged | _mask(pc.match_substring(payloads, text))


# A payload that as a whole looks like a tag, or has a lone surrogate in a key.
_TAGGED = f'{{"{canonical.TAG}":'
_VALUE = r'(?P<value>"(?:[^"\\]|\\.)*"|[^"\[\]{},]+)[,}]'
_MAX_PATTERN_BYTES = 500


def _flat_values(payloads: pa.StringArray, field: str, candidates: Mask) -> tuple[pa.StringArray, Mask]:
    """Values of payloads with one brace alone, and `(n,) bool`: which of them are settled.

    A quote behind a brace or a comma opens a text, or closes one and then a comma, colon or bracket follows: so the
    pattern matches a key, unless the key's own text begins like that. With one brace it is a key of the payload.
    """
    quoted = _quoted(field)
    size_bytes = len(quoted.encode("utf-8", "surrogatepass"))
    if field[:1] in (",", ":", "]", "}") or size_bytes > _MAX_PATTERN_BYTES or not _is_unicode(field):
        return pa.nulls(len(payloads), pa.string()), np.zeros(len(payloads), dtype=np.bool_)
    flat = candidates & (pc.count_substring(payloads, "{").to_numpy(zero_copy_only=False) == 1)
    flat &= ~_mask(pc.starts_with(payloads, _TAGGED))
    found = pc.struct_field(pc.extract_regex(payloads, f"[{{,]{_pattern(quoted)}:{_VALUE}"), "value")
    settled = flat & _mask(found.is_valid())
    return pc.if_else(pa.array(settled), found, pa.scalar(None, pa.string())), settled


def _pattern(text: str) -> str:
    """An RE2 pattern of a text."""
    return "".join(char if re.match("[a-zA-Z0-9]", char) else f"\\x{{{ord(char):x}}}" for char in text)


def _quoted(text: str) -> str:
    """A text as canonical JSON writes it as a key; one that UTF-8 has no form for in quotes, which occurs nowhere."""
    return canonical.encode(text).decode() if _is_unicode(text) else f'"{text}"'


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _mask(array: pa.Array) -> Mask:
    found: Mask = pc.fill_null(array, False).to_numpy(zero_copy_only=False).copy()
    return found


# Dates and numbers


@functools.lru_cache(typed=True)
def _border(border: Border) -> Any:
    """A time in UTC or a number, which only compare with their like. Raises ConfigError for anything else."""
    if border is None:
        return None
    found = _moment(border) if isinstance(border, str) else _number(border)
    if found is None:
        raise ConfigError(f"{border!r} is no border of a range", advice="give a date as in 2024-05-31, or a number")
    return found


def _moment(value: Any) -> dt.datetime | None:
    """A date or time of day as a time in UTC, or None for a value that is none."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if not isinstance(value, dt.datetime):
        return None
    try:
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    except OverflowError:
        return None


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def _shown(border: Border) -> str:
    return "" if border is None else str(border)
