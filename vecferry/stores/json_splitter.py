"""Finds the borders of JSON values in a file of any size, holding one value and one block at a time."""

from __future__ import annotations

import re
from typing import BinaryIO, NoReturn

__all__ = ["Cursor", "CutShort", "Malformed"]

_BLOCK_BYTES = 1 << 20
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\[\]{}:\"]*")
# Between brackets numbers are skipped at the speed of C; text is matched whole, a lone quote is text that goes on.
_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)


class Malformed(ValueError):
    """The text at `offset` is not the JSON that belongs there."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class CutShort(Malformed):
    """The file ends inside a value."""


class Cursor:
    """A place in a file of JSON text; only moves forward.

    `offset` is the place in bytes. Values are given as raw text with their place, not parsed.
    """

    def __init__(self, stream: BinaryIO, offset: int = 0) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._start = offset
        stream.seek(offset)

    @property
    def offset(self) -> int:
        """Where the next byte is in the file."""
        return self._start + self._at

    def peek(self) -> bytes:
        """The next byte that is not white space, without taking it; b"" at the end of the file."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._fill():
                return b""

    def take(self, expected: bytes) -> None:
        """Take one byte, which must be `expected`."""
        found = self.peek()
        if found != expected:
            self._refuse(f"expected {expected.decode()!r}", found)
        self._at += 1

    def take_if(self, wanted: bytes) -> bool:
        """Take the next byte if it is `wanted`."""
        if self.peek() != wanted:
            return False
        self._at += 1
        return True

    def value(self) -> tuple[int, bytes]:
        """The next value, whatever it is: its place and its raw text."""
        size = self._measure()
        start, text = self.offset, self._buffer[self._at : self._at + size]
        self._at += size
        return start, text

    def skip(self) -> None:
        """Pass over the next value; an array or object is passed over without holding it."""
        if self.peek() not in (b"[", b"{"):
            self.value()
            return
        depth = 0
        while True:
            for found in _BRACKET.finditer(self._buffer, self._at):
                mark = found.group()
                if mark == b'"':
                    self._at = found.start()
                    break
                depth += (mark in b"[{") - (mark in b"]}") if len(mark) == 1 else 0
                if depth == 0:
                    self._at = found.end()
                    return
            else:
                self._at = len(self._buffer)
            if not self._fill():
                raise CutShort("the file ends inside a value", self.offset)

    def _measure(self) -> int:
        """Length of the next value, which is wholly in the buffer afterwards."""
        first = self.peek()
        if first == b'"':
            return self._measure_string()
        if first in (b"[", b"{"):
            return self._measure_nested()
        return self._measure_scalar(first)

    def _measure_string(self) -> int:
        while True:
            found = _STRING.match(self._buffer, self._at)
            if found:
                return found.end() - self._at
            self._more()

    def _measure_scalar(self, first: bytes) -> int:
        while True:
            found = _SCALAR.match(self._buffer, self._at)
            end = found.end() if found else self._at
            if end == self._at:
                self._refuse("expected a value", first)
            if end < len(self._buffer) or not self._fill():
                return end - self._at

    def _measure_nested(self) -> int:
        depth, scanned = 0, 0
        while True:
            for found in _BRACKET.finditer(self._buffer, self._at + scanned):
                mark = found.group()
                if mark == b'"':
                    scanned = found.start() - self._at
                    break
                scanned = found.end() - self._at
                if len(mark) == 1:
                    depth += 1 if mark in b"[{" else -1
                    if depth == 0:
                        return scanned
            else:
                scanned = len(self._buffer) - self._at
            self._more()

    def _more(self) -> None:
        if not self._fill():
            raise CutShort("the file ends inside a value", self.offset)

    def _fill(self) -> bool:
        """Append one block, dropping what was taken; False at the end of the file.

        The block grows with what is held, so that a value of many blocks is not copied once for each.
        """
        held = self._buffer[self._at :]
        block = self._stream.read(max(_BLOCK_BYTES, len(held)))
        if not block:
            return False
        self._start += self._at
        self._buffer, self._at = held + block, 0
        return True

    def _refuse(self, what: str, found: bytes) -> NoReturn:
        if not found:
            raise CutShort("the file ends too early", self.offset)
        raise Malformed(f"{what}, found {found.decode('latin-1')!r}", self.offset)
