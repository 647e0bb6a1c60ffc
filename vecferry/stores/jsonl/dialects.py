"""The forms in which people keep points as JSON, and where each record stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import orjson

from vecferry.stores.json_splitter import Cursor, CutShort, Malformed
from vecferry.stores.json_text import parse_strictly
from vecferry.stores.jsonl.wrapped import is_wrapped, unwrapped

__all__ = ["BOM", "CHROMA_COLUMNS", "Dialect", "Texts", "first_byte", "keys_of", "records", "spans_of", "words"]

BOM = b"\xef\xbb\xbf"
CHROMA_COLUMNS = ("ids", "embeddings", "documents", "metadatas")
POINT = "point"

Texts = dict[str, tuple[int, bytes]]
"""One record: the place and the raw text of the whole point, or of its entry in each column."""


class Dialect(StrEnum):
    """The forms, as the option `dialect` of a URL names them."""

    LINES = "points"
    DUMP = "qdrant"
    LIST = "list"
    COLUMNS = "chroma"
    CDP = "cdp"


_WORDS = {
    Dialect.LINES: "one point a line",
    Dialect.DUMP: "Qdrant scroll dump",
    Dialect.LIST: "list of Qdrant points",
    Dialect.COLUMNS: "Chroma columns",
    Dialect.CDP: "chromadb-data-pipes lines",
}


def words(dialect: Dialect) -> str:
    """What a form is, for people who read a plan."""
    return _WORDS[dialect]


def spans_of(dialect: Dialect) -> tuple[str, ...]:
    """The names of the texts that make one record."""
    return CHROMA_COLUMNS if dialect is Dialect.COLUMNS else (POINT,)


def keys_of(cursor: Cursor) -> Iterator[str]:
    """The keys of the object that comes next; whoever takes a key takes its value."""
    cursor.take(b"{")
    if cursor.take_if(b"}"):
        return
    while True:
        yield _key(cursor)
        if not cursor.take_if(b","):
            cursor.take(b"}")
            return


def _key(cursor: Cursor) -> str:
    offset, text = cursor.value()
    if not text.startswith(b'"'):
        raise Malformed("a key is not text", offset)
    cursor.take(b":")
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise Malformed(f"a key cannot be read: {error}", offset) from None


def records(path: Path, dialect: Dialect, ignored: frozenset[str], notes: list[str]) -> Iterator[Texts]:
    """Every record of the file as raw text, in order. `notes` gets what a plan should say.

    Raises Malformed at the place where the file is not what its form demands, CutShort where it ends too early.
    """
    if dialect is Dialect.COLUMNS:
        return _column_records(path, ignored)
    return ({POINT: found} for found in _points(path, dialect, notes))


def _points(path: Path, dialect: Dialect, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        start = first_byte(stream)
        if dialect is Dialect.LINES:
            yield from _lines(stream, start)
        elif dialect is Dialect.CDP:
            yield from _noting_wrapped(_lines(stream, start), notes)
        elif dialect is Dialect.LIST:
            cursor = Cursor(stream, start)
            yield from _items(cursor)
            _end(cursor)
        else:
            yield from _pages(Cursor(stream, start), notes)


def _lines(stream: BinaryIO, start: int) -> Iterator[tuple[int, bytes]]:
    stream.seek(start)
    for line in stream:
        text = line.strip()
        if text:
            if not line.endswith(b"\n") and not _is_whole(text):
                raise CutShort("the last line is cut: the file was not written to its end", start)
            yield start + line.index(text[:1]), text
        start += len(line)


def _noting_wrapped(found: Iterator[tuple[int, bytes]], notes: list[str]) -> Iterator[tuple[int, bytes]]:
    seen = False
    for place, text in found:
        if is_wrapped(text) and not seen:
            notes.append("lines are Python's text of bytes, as `cdp export --out` writes them")
            seen = True
        yield place, text


def _is_whole(text: bytes) -> bool:
    """Whether a last line without a line break is JSON (a cut object never is)."""
    try:
        parse_strictly(unwrapped(text))
    except ValueError:
        return False
    return True


def _pages(cursor: Cursor, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    more = b"null"
    while cursor.peek():
        for key in keys_of(cursor):
            if key != "result":
                cursor.skip()
            elif cursor.peek() == b"[":
                yield from _items(cursor)
            else:
                for inner in keys_of(cursor):
                    if inner == "points":
                        yield from _items(cursor)
                    elif inner == "next_page_offset":
                        more = cursor.value()[1]
                    else:
                        cursor.skip()
        cursor.take_if(b",")
    if more != b"null":
        notes.append("the last page says that more points follow: the dump may not be complete")


def _items(cursor: Cursor) -> Iterator[tuple[int, bytes]]:
    """The elements of the array that comes next."""
    cursor.take(b"[")
    if cursor.take_if(b"]"):
        return
    while True:
        yield cursor.value()
        if not cursor.take_if(b","):
            cursor.take(b"]")
            return


def _end(cursor: Cursor) -> None:
    found = cursor.peek()
    if found:
        raise Malformed(f"something follows the end of the document: {found.decode('latin-1')!r}", cursor.offset)


def _column_records(path: Path, ignored: frozenset[str]) -> Iterator[Texts]:
    offsets = _column_offsets(path, ignored)
    with ExitStack() as stack:
        columns = {
            name: _items(Cursor(stack.enter_context(path.open("rb")), offset)) for name, offset in offsets.items()
        }
        ids = columns.pop("ids")
        rows = 0
        for rows, found in enumerate(ids, 1):
            yield {"ids": found} | {name: _next(column, name, rows) for name, column in columns.items()}
        for name, column in columns.items():
            left = next(column, None)
            if left is not None:
                raise Malformed(f"{name} has more entries than ids, which has {rows}", left[0])


def _next(column: Iterator[tuple[int, bytes]], name: str, row: int) -> tuple[int, bytes]:
    found = next(column, None)
    if found is None:
        raise Malformed(f"{name} has {row - 1} entries, ids has more", 0)
    return found


def _column_offsets(path: Path, ignored: frozenset[str]) -> dict[str, int]:
    """Where each column's array begins; columns that are null are left out."""
    found: dict[str, int] = {}
    with path.open("rb") as stream:
        cursor = Cursor(stream, first_byte(stream))
        for key in keys_of(cursor):
            first = cursor.peek()
            if key in CHROMA_COLUMNS and first != b"n":
                if key in found:
                    raise Malformed(f"the key {key!r} stands twice", cursor.offset)
                if first != b"[":
                    raise Malformed(f"{key} is not a list", cursor.offset)
                found[key] = cursor.offset
            elif first != b"n" and key != "included" and key not in ignored:
                raise Malformed(f"the column {key!r} is not one that is moved; add ?ignore={key}", cursor.offset)
            cursor.skip()
        _end(cursor)
    if "ids" not in found:
        raise Malformed("ids is not a list", 0)
    return found


def first_byte(stream: BinaryIO) -> int:
    """Where the text begins: after a byte order mark, if there is one."""
    stream.seek(0)
    return len(BOM) if stream.read(len(BOM)) == BOM else 0
