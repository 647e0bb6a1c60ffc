"""What a Chroma collection can hold: in a folder, and on a server."""

from __future__ import annotations

from dataclasses import replace

from vecferry.capabilities import Capabilities, FloatText, NameRule, PayloadSupport, PayloadType, VectorSupport
from vecferry.model import Metric
from vecferry.stores.chroma.metadata_rows import DOCUMENT_KEY, RESERVED
from vecferry.stores.chroma.schema import ID_KINDS, SPACES

__all__ = ["MAX_BATCH_BYTES", "MAX_BATCH_ROWS", "NAMES", "folder_read", "folder_written", "server"]

MAX_BATCH_ROWS = 2000
MAX_BATCH_BYTES = 32 << 20  # a server takes bodies of 40 MiB
NAMES = NameRule(
    r"(?!.*\.\.)[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]",
    "3 to 512 of a-z A-Z 0-9 . _ -, a letter or digit at both ends, no two dots in a row",
)
"""Chroma's own rule for collections (`Expected a name containing 3-512 characters from [a-zA-Z0-9._-] ...`)."""

_TYPES = {
    PayloadType.BOOL,
    PayloadType.INTEGER,
    PayloadType.FLOAT,
    PayloadType.STRING,
    PayloadType.BOOL_LIST,
    PayloadType.INTEGER_LIST,
    PayloadType.FLOAT_LIST,
    PayloadType.STRING_LIST,
}


def _payload(float_text: FloatText) -> PayloadSupport:
    return PayloadSupport(
        types=frozenset(_TYPES),
        integer_min=-(2**63),
        integer_max=2**63 - 1,
        float_text=float_text,
        negative_zero=False,
        empty_key=False,
        reserved_keys=frozenset({DOCUMENT_KEY}),
        reserved_prefixes=("#", "$", RESERVED),
    )


def folder_written() -> Capabilities:
    """A folder through Chroma's client. One inexact pass: measured on 9,996 floats, random bit patterns included."""
    return Capabilities(
        store="chroma+path",
        engine="Chroma in this process",
        id_kinds=ID_KINDS,
        vectors=VectorSupport(metrics=frozenset(SPACES), distorts=frozenset({Metric.COSINE})),
        payload=_payload(FloatText.ONE_PASS),
        document=True,
        empty_id=False,
        collection_names=NAMES,
        one_process=True,
        max_batch_rows=MAX_BATCH_ROWS,
        max_batch_bytes=MAX_BATCH_BYTES,
        cheap_vectors=True,
        touched_on_open="Chroma writes to chroma.sqlite3 whenever it opens a folder; records stay as they are",
    )


def folder_read() -> Capabilities:
    """A folder read directly: nothing is touched, and any number of processes may read it."""
    written = folder_written()
    return replace(written, engine="files of Chroma", one_process=False, parallel_reads=2, touched_on_open="")


def server(*, max_batch_rows: int, exact_vectors: bool) -> Capabilities:
    """A server. Two inexact passes (the request's JSON, then the log's): measured on 5,998 floats as above.

    `exact_vectors`: it takes vectors as base64; as decimal text, which older servers want, they may be rounded.
    """
    written = folder_written()
    distorted = {Metric.COSINE} if exact_vectors else set(SPACES)
    return replace(
        written,
        store="chroma",
        engine="a Chroma server",
        vectors=replace(written.vectors, distorts=frozenset(distorted)),
        payload=_payload(FloatText.TWO_PASSES),
        one_process=False,
        parallel_reads=2,
        max_batch_rows=min(MAX_BATCH_ROWS, max_batch_rows),
        cheap_vectors=False,
        touched_on_open="",
    )
