"""Lines that are Python's text of bytes: `b'{"id": ...}'`, as `cdp export --out` of chromadb-data-pipes writes them.

Nothing is evaluated: the text is taken apart by the five escapes that Python writes, anything else is refused.
"""

from __future__ import annotations

import re

__all__ = ["is_wrapped", "unwrapped"]

_STARTS = (b"b'", b'b"')
_PRINTED = re.compile(rb"[ -~]*")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|(.)|$)", re.DOTALL)
_PLAIN = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def is_wrapped(text: bytes) -> bool:
    """Whether a line starts as Python's text of bytes does; no JSON value does."""
    return text.startswith(_STARTS)


def unwrapped(text: bytes) -> bytes:
    """The bytes that a line stands for; a line of JSON is given back as it is. Raises ValueError for broken text."""
    if not is_wrapped(text):
        return text
    quote = text[1:2]
    if len(text) < 3 or not text.endswith(quote) or _is_escaped(text[2:-1]):
        raise ValueError("the line begins as Python's text of bytes and does not end as such: it is cut")
    inside = text[2:-1]
    if not _PRINTED.fullmatch(inside):
        raise ValueError("Python writes bytes as ASCII alone: this is not its text")
    if quote in _ESCAPE.sub(b"", inside):
        raise ValueError("something follows Python's text of bytes in the line")
    if b"\\" not in inside:
        return inside
    return _ESCAPE.sub(_escaped, inside)


def _is_escaped(inside: bytes) -> bool:
    """Whether the quote behind this text belongs to it, because an odd number of backslashes stands before."""
    return (len(inside) - len(inside.rstrip(b"\\"))) % 2 == 1


def _escaped(found: re.Match[bytes]) -> bytes:
    digits, sign = found.groups()
    if digits is not None:
        return bytes.fromhex(digits.decode())
    plain = _PLAIN.get(sign or b"")
    if plain is None:
        raise ValueError(f"Python writes no {found.group().decode('latin-1')!r} in the text of bytes")
    return plain
