"""Protobuf variable-length integers: one at a time, and whole arrays as column operations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["pack", "unpack", "varint"]

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]
Unsigned = npt.NDArray[np.uint64]

_GROUP_BITS = 7
_LONGEST_BYTES = 10  # 64 bits in groups of seven


def _encode(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= _GROUP_BITS
    out.append(value)
    return bytes(out)


_TABLE = tuple(_encode(value) for value in range(1 << 14))


def varint(value: int) -> bytes:
    """The wire form of an unsigned integer below 2^64; a table answers for all below 16,384."""
    return _TABLE[value] if value < len(_TABLE) else _encode(value)


def pack(values: Unsigned) -> tuple[bytes, Counts]:
    """`(n,) uint64` as one run of varints, and the `(n + 1,)` byte offsets where each begins."""
    borders = np.uint64(1) << np.arange(_GROUP_BITS, 64, _GROUP_BITS, dtype=np.uint64)
    size_bytes = 1 + np.searchsorted(borders, values, side="right").astype(np.int64)
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(size_bytes, out=offsets[1:])
    out = np.empty(offsets[-1], dtype=np.uint8)
    for group in range(int(size_bytes.max(initial=0))):
        chosen = size_bytes > group
        bits = (values[chosen] >> np.uint64(_GROUP_BITS * group)) & np.uint64(0x7F)
        more = (size_bytes[chosen] > group + 1).astype(np.uint8) << 7
        out[offsets[:-1][chosen] + group] = bits.astype(np.uint8) | more
    return out.tobytes(), offsets


def unpack(run: bytes) -> tuple[Unsigned, Counts]:
    """A run of varints as `(n,) uint64`, and how many of them end before each of the `len(run) + 1` byte positions.

    Raises ValueError for a run that is cut or holds a number of more than 64 bits.
    """
    octets = np.frombuffer(run, dtype=np.uint8)
    is_last = octets < 0x80
    ended = np.zeros(len(octets) + 1, dtype=np.int64)
    np.cumsum(is_last, out=ended[1:])
    if not len(octets):
        return np.zeros(0, dtype=np.uint64), ended
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if not is_last[-1] or (ends - starts).max() >= _LONGEST_BYTES:
        raise ValueError("a varint is cut or longer than 64 bits")
    group = np.arange(len(octets)) - starts[ended[:-1]]
    bits = (octets & 0x7F).astype(np.uint64) << (group * _GROUP_BITS).astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts), ended
