"""A server's answer to `get`, taken from its JSON bytes without a Python object for each number.

Most of an answer is the decimal text of its vectors. Chroma's client makes a Python float of each number; here the
text goes to Arrow's CSV reader, one number a line, which makes float32 of it at once: two thirds of the client's CPU,
and it lets other threads run meanwhile. All else of the answer is small and is parsed as the client does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from chromadb.api.types import deserialize_metadata
from pyarrow import csv

from vecferry.stores.chroma.failures import translated

__all__ = ["AnswerReader", "parse_answer", "same_answers"]

_BEGIN, _END = b"[[", b"]]"
_KEY = b'"embeddings":' + _BEGIN
_ONE_A_LINE = bytes.maketrans(b",", b"\n")
_SPARSE = b'"#type"'
_PARSING = csv.ParseOptions(quote_char=False, ignore_empty_lines=False)
_CONVERTING = csv.ConvertOptions(column_types={"number": pa.float32()}, null_values=["null"])

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Asks a server for records and reads its answers. Raises what `failures` knows, as the client would."""

    session: httpx.Client
    api_url: str
    url: str
    tenant: str
    database: str

    def get(self, collection: Any, ids: Sequence[str], include: list[str]) -> Mapping[str, Any]:
        """The present ones of these records, as columns by name; `embeddings` is `(n, dim) float32`."""
        path = f"/tenants/{self.tenant}/databases/{self.database}/collections/{collection}/get"
        body = orjson.dumps({"ids": list(ids), "include": include})
        with translated(self.url):
            answer = self.session.request("POST", self.api_url + quote(path, safe="/"), content=body)
            return parse_answer(answer.content)


def parse_answer(content: bytes) -> dict[str, Any]:
    """The columns of an answer. Where its vectors do not stand as expected, they are lists of Python floats."""
    start = _start(content)
    end = content.find(_END, start)
    if start < 0 or end < 0:
        return _parsed(content)
    answer = _parsed(content[:start] + b"null" + content[end + len(_END) :])
    vectors = _numbers(content[start + len(_BEGIN) : end], len(answer["ids"]))
    if vectors is None:
        return _parsed(content)
    answer["embeddings"] = vectors
    return answer


def _start(content: bytes) -> int:
    """Where the list of vectors begins, -1: nowhere. Within a text, a backslash would stand before the quote."""
    place = content.find(_KEY)
    return place + len(_KEY) - len(_BEGIN) if place > 0 and content[place - 1 : place] in (b"{", b",") else -1


def _numbers(text: bytes, rows: int) -> Floats | None:
    """Vectors `(rows, dim) float32` from `1.5,-2],[3,4e-7`; null is NaN. None for what is no such table."""
    lines = text.translate(_ONE_A_LINE, b"[]")
    # One block, one thread: pages are read side by side already.
    reading = csv.ReadOptions(column_names=["number"], use_threads=False, block_size=len(lines) + 1)
    try:
        table = csv.read_csv(pa.BufferReader(lines), reading, _PARSING, _CONVERTING)
    except pa.ArrowInvalid:
        return None
    numbers: Floats = table.column(0).combine_chunks().to_numpy(zero_copy_only=False)
    first_row = text.find(b"]")
    dimension = text.count(b",", 0, first_row if first_row >= 0 else len(text)) + 1
    return numbers.reshape(rows, dimension) if len(numbers) == rows * dimension else None


def _parsed(content: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(content)
    if answer.get("metadatas") and _SPARSE in content:
        answer["metadatas"] = [deserialize_metadata(metadata) for metadata in answer["metadatas"]]
    return answer


def same_answers(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two answers tell the same records, in the same order, their vectors to the bit."""
    if any(left.get(name) != right.get(name) for name in ("ids", "documents", "metadatas", "uris")):
        return False
    ours, theirs = (np.array(answer["embeddings"], dtype=np.float32) for answer in (left, right))
    return ours.shape == theirs.shape and np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))
