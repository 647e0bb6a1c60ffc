"""A batch while codecs rewrite it: payloads are parsed at most once, and only changed rows are written again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import canonical
from vecferry.mapping.floats import replace_texts

__all__ = ["Draft", "key_pattern", "text_pattern"]

_PAIRS = r'^\{"[$]vecferry":\["pairs"'

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Payload = dict[str, Any]

_COLUMNS_BEFORE = (columns.ID, columns.ID_KIND)
_COLUMNS_AFTER = (columns.DOCUMENT, columns.PAYLOAD)
_NOT_NULL = {columns.ID, columns.ID_KIND, columns.PAYLOAD}


class Draft:
    """The columns of one batch, free to be replaced, and its payloads as values.

    Codecs work on it in turn; `finish` gives the new batch. Hashes are dropped: they no longer fit.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        batch = columns.drop_hashes(batch)
        self.rows: int = batch.num_rows
        self.columns: dict[str, pa.Array] = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._values: dict[int, Payload] = {}
        self._changed: set[int] = set()

    def has(self, name: str) -> bool:
        """Whether a column was read."""
        return name in self.columns

    def matching(self, pattern: str) -> Rows:
        """Rows whose payload text, as it came in, matches an RE2 pattern."""
        texts = self.columns[columns.PAYLOAD]
        return np.flatnonzero(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False))

    def payloads(self, rows: Rows) -> list[Payload]:
        """The payloads of these rows as values; changes to them count once `changed` names the row."""
        wanted: list[int] = rows.tolist()
        if not self._values:
            self._parse(rows)
        else:
            unseen = [row for row in wanted if row not in self._values]
            if unseen:
                self._parse(np.array(unseen))
        values = self._values
        return [values[row] for row in wanted]

    def _parse(self, rows: Rows) -> None:
        texts = self.columns[columns.PAYLOAD]
        if len(rows) != self.rows:
            texts = texts.take(pa.array(rows))
        self._values.update(zip(rows.tolist(), canonical.decode_many(texts.cast(pa.binary()).to_pylist()), strict=True))

    def changed(self, row: int) -> None:
        """Say that the payload of a row is no longer what it was."""
        self._changed.add(row)

    def changed_rows(self, rows: Rows) -> None:
        """Say that the payloads of these rows are no longer what they were."""
        self._changed.update(rows.tolist())

    def finish(self) -> pa.RecordBatch:
        """The batch as the codecs left it."""
        if self._changed:
            rows = sorted(self._changed)
            texts = canonical.encode_many([self._values[row] for row in rows])
            old = self.columns[columns.PAYLOAD]
            whole = len(rows) == self.rows
            new = pa.array(texts, pa.binary()).cast(pa.string()) if whole else replace_texts(old, rows, texts)
            self.columns[columns.PAYLOAD] = new
        ordered = [name for name in self._order() if name in self.columns]
        fields = [pa.field(name, self.columns[name].type, nullable=name not in _NOT_NULL) for name in ordered]
        return pa.RecordBatch.from_arrays([self.columns[name] for name in ordered], schema=pa.schema(fields))

    def _order(self) -> list[str]:
        fixed = {*_COLUMNS_BEFORE, *_COLUMNS_AFTER}
        vectors = [name for name in self.columns if name not in fixed]
        return [*_COLUMNS_BEFORE, *vectors, *_COLUMNS_AFTER]


def key_pattern(*keys: str) -> str:
    """An RE2 pattern that every canonical payload text with one of these keys, at any level, matches.

    A payload with a lone surrogate in a key is written as pairs, where no colon follows a key: it always matches.
    """
    return "|".join([_PAIRS, *(f'[{{,]"{text_pattern(key)}":' for key in keys)])


def text_pattern(text: str) -> str:
    """An RE2 pattern of a text as it stands inside the quotes of JSON."""
    inside = canonical.encode(text).decode()[1:-1]
    return "".join(char if char.isalnum() else f"\\x{{{ord(char):x}}}" for char in inside)
