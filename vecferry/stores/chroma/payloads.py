"""Payloads and Chroma's metadata: flat, of text, int64, finite floats, bools, and lists of one of these.

Chroma drops or changes some of what it does not keep without a word (an empty list, NaN, -0.0, a large integer, a
list of integers and floats), and one bad list makes a folder unreadable. So everything is looked at before it is sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import canonical
from vecferry.stores.chroma.metadata_rows import DOCUMENT_KEY, RESERVED, URI_KEY, Metadata

__all__ = ["Unfit", "metadata_values", "payload_texts"]

_INT64 = range(-(2**63), 2**63)
# What may not fit. All other rows are plain scalars under plain keys.
_SUSPECT = r'null|.\{|\[|-0\.0|"[#$]|"' + RESERVED + r'|"":|[0-9]{19}'


class Unfit(ValueError):
    """A payload that Chroma would change or refuse: in which row, under which key, and why."""

    def __init__(self, row: int, key: str, reason: str) -> None:
        super().__init__(f"{key!r} {reason}")
        self.row, self.key, self.reason = row, key, reason


def metadata_values(payloads: pa.StringArray) -> tuple[list[Metadata], list[str | None]]:
    """Metadata and uris of canonical payloads. Raises Unfit for the first that Chroma cannot keep as it is."""
    values: list[Metadata] = canonical.decode_many(payloads.cast(pa.binary()).to_pylist())
    uris: list[str | None] = [None] * len(values)
    for row in np.flatnonzero(pc.match_substring_regex(payloads, _SUSPECT).to_numpy(zero_copy_only=False)).tolist():
        for key, value in values[row].items():
            reason = _key_misfit(key, value) or _misfit(value)
            if reason:
                raise Unfit(row, key, reason)
        uris[row] = values[row].pop(URI_KEY, None)
    return values, uris


def _key_misfit(key: str, value: Any) -> str:
    if not key:
        return "is an empty key, which Chroma does not take"
    if key[0] in "#$":
        return f"is a key that begins with {key[0]}, which Chroma keeps for itself"
    if key.startswith(RESERVED) and not (key == URI_KEY and isinstance(value, str)):
        return "is where Chroma keeps documents" if key == DOCUMENT_KEY else "is a key that Chroma stores and hides"
    return _text_misfit(key)


def _misfit(value: Any) -> str:
    if not isinstance(value, list):
        return _scalar_misfit(value)
    if not value:
        return "is an empty list, which Chroma drops"
    if len({type(item) for item in value}) > 1:
        return "is a list of different types, which Chroma refuses or changes"
    return next(filter(None, map(_scalar_misfit, value)), "")


def _scalar_misfit(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _text_misfit(value)
    if isinstance(value, int):
        return "" if value in _INT64 else "is an integer beyond int64, which Chroma turns into a float"
    if isinstance(value, float):
        return _float_misfit(value)
    return f"is of the type {type(value).__name__}, which Chroma does not keep"


def _float_misfit(value: float) -> str:
    if not math.isfinite(value):
        return "is NaN or infinity, which Chroma drops"
    return "is -0.0, which Chroma makes 0.0" if value == 0.0 and math.copysign(1.0, value) < 0 else ""


def _text_misfit(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate), which Chroma refuses"
    return ""


def payload_texts(metadatas: Sequence[Metadata | None], uris: Sequence[str | None]) -> pa.StringArray:
    """Canonical payloads of metadata; a uri goes under its reserved key. Raises Unfit for a value of no JSON type."""
    values = [metadata or {} for metadata in metadatas]
    for row, uri in enumerate(uris):
        if uri is not None:
            values[row] = {**values[row], URI_KEY: uri}
    try:
        texts = canonical.encode_many(values)
    except TypeError as error:
        raise _without_json(values) from error
    return pa.array(texts, pa.binary()).cast(pa.string())


def _without_json(values: Sequence[Metadata]) -> Unfit:
    """Which value: sparse vectors, that Chroma Cloud keeps in metadata, have no JSON type."""
    known = (str, int, float, bool, list, type(None))
    for row, metadata in enumerate(values):
        for key, value in metadata.items():
            if not isinstance(value, known):
                return Unfit(row, key, f"is of the type {type(value).__name__}, which has no JSON form")
    return Unfit(0, "", "has no JSON form")
