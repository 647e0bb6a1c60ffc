"""Numbers from one type to another, never changed without leave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecferry.capabilities import VectorSupport
from vecferry.model import DType

__all__ = ["NotHeld", "cast", "nearest_dtype", "widens"]

Numbers = npt.NDArray[np.generic]

_WIDER = {
    DType.UINT8: (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16),
    DType.INT8: (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16),
    DType.FLOAT16: (DType.FLOAT32, DType.FLOAT64),
    DType.FLOAT32: (DType.FLOAT64,),
    DType.FLOAT64: (),
}
_NARROWER = (DType.FLOAT32, DType.FLOAT16)


class NotHeld(ValueError):
    """A number that the other type does not hold: which one, counted through the whole array, row by row."""

    def __init__(self, position: int, number: float) -> None:
        super().__init__(f"{number} at {position}")
        self.position = position
        self.number = number


def widens(old: DType, new: DType) -> bool:
    """Whether every number of the old type is one of the new type."""
    return old is new or new in _WIDER[old]


def nearest_dtype(dtype: DType, support: VectorSupport) -> DType | None:
    """The type that a store keeps such numbers in: the same, else one that holds them all, else the best float."""
    choices = (dtype, *_WIDER[dtype], *_NARROWER)
    return next((choice for choice in choices if choice in support.dtypes), None)


def cast(values: Numbers, dtype: DType, *, rounds: bool) -> Numbers:
    """The numbers as another type, in the same shape.

    Raises NotHeld for the first one that would change: any with `rounds` false, else one that would
    become infinite.
    """
    if values.dtype == np.dtype(dtype):
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        new = values.astype(np.dtype(dtype))
        if widens(DType(values.dtype.name), dtype):
            return new
        changed = ~np.isfinite(new) & np.isfinite(values) if rounds else new.astype(values.dtype) != values
    if not rounds:
        changed &= ~(np.isnan(values) & np.isnan(new))
    if changed.any():
        position = int(np.argmax(changed))
        raise NotHeld(position, float(values.reshape(-1)[position]))
    return new
