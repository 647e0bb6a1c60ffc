"""Which float an engine stores when it parses decimal text inexactly.

Qdrant and Chroma read the digits as an integer m and the power of ten as e, and compute `m * 10^e` or
`m / 10^-e` in doubles: about a tenth of full-precision floats come back one unit in the last place off.
The rule was measured bit for bit on real engines; here it is computed before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from vecferry.capabilities import FloatText

__all__ = ["PASSES", "changed_texts", "predict", "predict_column", "predict_text", "replace_texts"]

PASSES = {FloatText.EXACT: 0, FloatText.ONE_PASS: 1, FloatText.TWO_PASSES: 2}

# At most 15 significant digits and a small exponent are always exact: m < 2^53 and |e| <= 22.
_SUSPECT_ROW = r"[:,\[]-?(?:[0-9.]{17}|[0-9.]+e)"
# The first character is what stands before a number in canonical JSON: a set of literals, so the search is quick.
_SUSPECT_NUMBER = re.compile(rb"[:,\[](-?(?:[0-9.]{17,}(?:e[+-]?[0-9]+)?|[0-9.]+e[+-]?[0-9]+))(?=[,\]}])")
_ESCAPED = re.compile(rb"\\.")
_LARGEST_POWER = 308
# From the literal: Python's 10.0 ** k is off by one unit for some k.
_POWERS = [float(f"1e{exponent}") for exponent in range(_LARGEST_POWER + 1)]


def predict(value: float, passes: int = 1) -> float:
    """The double that is stored after `passes` inexact readings of the decimal text of a finite `value`."""
    for _ in range(passes):
        value = _read(repr(value)) if value else value
    return value


def _read(literal: str) -> float:
    """What an inexact parser makes of the shortest decimal text of a double, zero excepted."""
    mantissa, _, exponent_text = literal.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = float(int(whole + fraction))
    exponent = int(exponent_text or 0) - len(fraction)
    if exponent >= 0:
        return digits * _POWERS[exponent]
    if exponent < -_LARGEST_POWER:
        digits /= _POWERS[_LARGEST_POWER]
        exponent += _LARGEST_POWER
    return digits / _POWERS[-exponent]


def predict_text(text: bytes, passes: int) -> bytes:
    """The canonical payload text that comes back when the floats of `text` are stored with `passes` readings.

    Digits inside strings stay as they are. The same object is returned when nothing changes.
    """
    if not passes:
        return text
    pieces: list[bytes] = []
    done = 0
    for match in _SUSPECT_NUMBER.finditer(text):
        new = _changed_literal(match[1].decode(), passes)
        if new is not None and not _inside_string(text, match.start()):
            pieces += (text[done : match.start(1)], new)
            done = match.end()
    return b"".join([*pieces, text[done:]]) if pieces else text


def _inside_string(text: bytes, position: int) -> bool:
    before = text[:position]
    if b"\\" in before:
        before = _ESCAPED.sub(b"", before)
    return before.count(b'"') % 2 == 1


def _changed_literal(literal: str, passes: int) -> bytes | None:
    """The literal's new text, or None when it stays (integers always do)."""
    if "." not in literal and "e" not in literal:
        return None
    try:
        value = float(literal)
    except ValueError:  # digits and dots inside a string, such as an address
        return None
    stored = predict(_read(literal), passes - 1) if value else value
    return None if stored == value else orjson.dumps(stored)


def predict_column(payloads: pa.StringArray, passes: int) -> tuple[pa.StringArray, int]:
    """The payload column as it will be read back, and how many rows change; the same column when none does."""
    rows, texts = changed_texts(payloads, passes)
    return (replace_texts(payloads, rows, texts) if rows else payloads), len(rows)


def changed_texts(payloads: pa.StringArray, passes: int) -> tuple[list[int], list[bytes]]:
    """Rows of a payload column that change, ascending, and their new texts."""
    if not passes:
        return [], []
    suspects = np.flatnonzero(pc.match_substring_regex(payloads, _SUSPECT_ROW).to_numpy(zero_copy_only=False))
    old = payloads.take(pa.array(suspects)).cast(pa.binary()).to_pylist()
    new = [predict_text(text, passes) for text in old]
    changed = [at for at, (before, after) in enumerate(zip(old, new, strict=True)) if before is not after]
    return suspects[changed].tolist(), [new[at] for at in changed]


def replace_texts(column: pa.StringArray, rows: Sequence[int], texts: Sequence[bytes]) -> pa.StringArray:
    """The text column with `texts` (UTF-8) in `rows` (ascending)."""
    mask = np.zeros(len(column), dtype=np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array(texts, pa.binary()).cast(pa.string()))
