"""What a cosine collection keeps of a vector: its direction and its length, each rounded to float32.

Chroma's index (hnswlib) stores `v * (1 / (length + 1e-30))` and `length`, and multiplies the two when
it is asked for `v`. The sum of squares is taken from left to right in float32, so the stored form and
what comes back can be told beforehand, bit for bit (seen with the x86-64 wheels of Chroma 1.5).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["returned_form", "stored_form"]

Floats = npt.NDArray[np.float32]
_TINY = np.float32(1e-30)
_ONE = np.float32(1)


def stored_form(vectors: Floats) -> tuple[Floats, Floats]:
    """Directions `(n, dim) float32` and lengths `(n,) float32` as the index stores them.

    A length beyond float32 (above 1.8e19) is infinity, and its direction zero.
    """
    if vectors.shape[1] == 0:
        return vectors, np.zeros(len(vectors), dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        squares = np.cumsum(vectors * vectors, axis=1, dtype=np.float32)[:, -1]
        lengths = np.sqrt(squares)
        return vectors * (_ONE / (lengths + _TINY))[:, np.newaxis], lengths


def returned_form(vectors: Floats) -> Floats:
    """`vectors` `(n, dim) float32` as a cosine collection gives them back. NaN where the length overflows."""
    directions, lengths = stored_form(vectors)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        return directions * lengths[:, np.newaxis]
