"""Which form a file is in, told by its first bytes and the keys of its first object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vecferry.stores.json_splitter import Cursor, Malformed
from vecferry.stores.jsonl.dialects import Dialect, first_byte, keys_of, words

__all__ = ["Ambiguous", "detect"]

_TELLING = {
    "result": Dialect.DUMP,
    "ids": Dialect.COLUMNS,
    **dict.fromkeys(("vector", "payload", "document", "id_kind"), Dialect.LINES),
    **dict.fromkeys(("embedding", "metadata", "text_chunk"), Dialect.CDP),
}
_DOCUMENTS = (Dialect.DUMP, Dialect.COLUMNS)
"""Their first object holds all records: what follows is not looked at, it may be many gigabytes."""


class Ambiguous(ValueError):
    """The file may be in several forms."""

    def __init__(self, found: dict[Dialect, str]) -> None:
        names = " and ".join(f"{key!r} of {words(dialect)}" for dialect, key in found.items())
        super().__init__(f"the first object has the keys {names}: it may be either")
        self.dialects = tuple(found)


def detect(path: Path, ignored: frozenset[str] = frozenset()) -> Dialect:
    """Which form a file is in; `ignored` keys tell nothing.

    Raises Malformed for one that is in none of them, Ambiguous for one that may be in several.
    """
    with path.open("rb") as stream:
        cursor = Cursor(stream, first_byte(stream))
        first = cursor.peek()
        if first == b"":
            return Dialect.LINES
        if first == b"[":
            return Dialect.LIST
        if first == b"b":
            return Dialect.CDP
        if first != b"{":
            raise Malformed("the file starts with neither an object nor a list of points", cursor.offset)
        return _by_keys(cursor, ignored)


def _by_keys(cursor: Cursor, ignored: frozenset[str]) -> Dialect:
    """The form that the keys tell; a line that is broken is left to the reader of lines to name."""
    found: dict[Dialect, str] = {}
    try:
        for key, dialect in _telling(cursor, ignored):
            found.setdefault(dialect, key)
            if len(found) == 1 and dialect in _DOCUMENTS:
                return dialect
    except Malformed:
        pass
    if len(found) > 1:
        raise Ambiguous(found)
    return next(iter(found), Dialect.LINES)


def _telling(cursor: Cursor, ignored: frozenset[str]) -> Iterator[tuple[str, Dialect]]:
    """Keys of the first object that tell of a form."""
    for key in keys_of(cursor):
        if key in _TELLING and key not in ignored:
            yield key, _TELLING[key]
        cursor.skip()
