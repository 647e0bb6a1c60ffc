"""The hashes of a record, one per part, and the digest of many records.

The covered bytes are written down, with known answers, in `docs/archive-format.md`:

* vectors: XOR over the present vectors of XXH3-128(raw little-endian bytes, seed = XXH3-64(header)),
  where the header is `name NUL kind NUL dtype NUL dimension` in UTF-8 (sparse: dimension 0; bytes are the
  uint32 indices followed by the values). No vector present: 16 zero bytes.
* payload: XXH3-128(canonical JSON, seed = 1).
* document: XXH3-128(UTF-8, seed = 2); absent: 16 zero bytes, so that absent and empty differ.
* id: XXH3-128(text, seed = XXH3-64(kind)).
* record: XXH3-128(id hash, vectors, payload, document), added up mod 2^128 in a digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise, repeat

import numpy as np
import numpy.typing as npt
import xxhash

from vecferry.model import Digest

__all__ = [
    "HASH_BYTES",
    "PARTS_BYTES",
    "combine_vectors",
    "digest",
    "hash_documents",
    "hash_ids",
    "hash_payloads",
    "hash_rows",
    "hash_segments",
    "vector_seed",
]

HASH_BYTES = 16
PARTS_BYTES = 3 * HASH_BYTES
_PAYLOAD_SEED = 1
_DOCUMENT_SEED = 2

Hashes = npt.NDArray[np.uint8]
"""Hashes as bytes, `(n, 16) uint8`, big-endian as XXH3 writes them canonically."""

_digest = xxhash.xxh3_128_digest


def vector_seed(name: str, kind: str, dtype: str, dimension: int) -> int:
    """The seed that binds a vector's bytes to its name, kind, dtype and dimension."""
    return xxhash.xxh3_64_intdigest("\0".join((name, kind, dtype, str(dimension))).encode())


def _pack(digests: Iterable[bytes], count: int) -> Hashes:
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(count, HASH_BYTES)


def hash_rows(matrix: npt.NDArray[np.generic], seed: int) -> Hashes:
    """Hash the bytes of each row of an `(n, dim)` array: `(n, 16) uint8`."""
    return _pack(map(_digest, np.ascontiguousarray(matrix), repeat(seed)), len(matrix))


def hash_segments(data: memoryview, offsets: npt.NDArray[np.int64], seed: int) -> Hashes:
    """Hash `data[offsets[i]:offsets[i + 1]]` for each i: `(n, 16) uint8`."""
    borders = offsets.tolist()
    return _pack([_digest(data[start:end], seed) for start, end in pairwise(borders)], len(borders) - 1)


def combine_vectors(hashes: Iterable[Hashes], count: int) -> Hashes:
    """XOR of the hashes of each present vector; absent ones are rows of zeros."""
    result = np.zeros((count, HASH_BYTES), dtype=np.uint8)
    for column in hashes:
        np.bitwise_xor(result, column, out=result)
    return result


def hash_payloads(data: memoryview, offsets: npt.NDArray[np.int64]) -> Hashes:
    """Hashes of canonical JSON texts laid end to end."""
    return hash_segments(data, offsets, _PAYLOAD_SEED)


def hash_documents(data: memoryview, offsets: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> Hashes:
    """Hashes of documents laid end to end; zeros where `present` is false."""
    result = hash_segments(data, offsets, _DOCUMENT_SEED).copy()
    result[~present] = 0
    return result


def hash_ids(texts: Sequence[bytes], kinds: Iterable[str]) -> Hashes:
    """Hashes of typed ids."""
    return _pack(map(_digest, texts, map(_kind_seed, kinds)), len(texts))


@cache
def _kind_seed(kind: str) -> int:
    return xxhash.xxh3_64_intdigest(kind.encode())


def digest(ids: Hashes, parts: npt.NDArray[np.uint8]) -> Digest:
    """Digest of records given their id hashes `(n, 16)` and part hashes `(n, 48)`, both uint8."""
    if not len(ids):
        return Digest()
    records = hash_rows(np.concatenate([ids, parts], axis=1), 0)
    halves = records.view(">u8").astype(np.uint64)
    # Sums of 32-bit quarters cannot overflow 64 bits below 2^32 records.
    low, high = halves[:, 1], halves[:, 0]
    total = 0
    for shift, column in ((0, low & 0xFFFFFFFF), (32, low >> 32), (64, high & 0xFFFFFFFF), (96, high >> 32)):
        total += int(column.sum(dtype=np.uint64)) << shift
    return Digest(len(ids), total % 2**128)
