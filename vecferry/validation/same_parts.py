"""Whether two stores' versions of records are the same within the tolerances of a mapping, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.mapping import Tolerance
from vecferry.model import Part
from vecferry.validation.payload import different_documents, different_payloads
from vecferry.validation.vectors import compare_vectors

__all__ = ["same_parts"]

Mask = npt.NDArray[np.bool_]


def same_parts(tolerances: Mapping[str, Tolerance]) -> Callable[[pa.RecordBatch, pa.RecordBatch], Mask]:
    """A comparison of aligned rows `(expected, found)`: `(n, 3) bool` in the order of `sealing.PART_ORDER`.

    `tolerances` are by the vectors' names in these batches; a vector without one is compared bit for bit. Vectors that
    only one of the two batches has a column for do not count.
    """

    def compare(expected: pa.RecordBatch, found: pa.RecordBatch) -> Mask:
        names = set(columns.vector_names(found))
        vectors = np.zeros(expected.num_rows, dtype=np.bool_)
        for field in columns.fields_of(expected.schema):
            if field.name in names:
                tolerance = tolerances.get(field.name, Tolerance())
                vectors |= compare_vectors(expected, found, field, tolerance).different
        differ = {
            Part.VECTORS: vectors,
            Part.PAYLOAD: different_payloads(expected, found),
            Part.DOCUMENT: different_documents(expected, found),
        }
        return ~np.stack([differ[part] for part in sealing.PART_ORDER], axis=1)

    return compare
