"""The server's rules for points that are written, checked before the engine sees any of them.

A vector of a wrong size refuses the whole batch. A name that is not there (or a multivector for a dense one) is only
found while the batch is applied, so other points of it are stored by then.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from qdrant_client.http import models as m

from .configuration import dense_vectors
from .errors import ApiError, Failure, bad_input, invalid, unknown_vector


class VectorRules:
    """What the vectors of a collection must look like."""

    def __init__(self, params: m.CollectionParams) -> None:
        self._dense = dense_vectors(params.vectors)
        self._sparse = frozenset(params.sparse_vectors or {})

    def check(self, points: Sequence[Any]) -> None:
        """Refuse what refuses the whole batch: broken vectors and wrong sizes."""
        for place, point in enumerate(points):
            self._check_shape(place, point.vector)
        for point in points:
            for name, vector in named(point.vector):
                self._check_size(name, vector)

    def first_unfit(self, points: Sequence[Any]) -> tuple[int, ApiError] | None:
        """The first point that names what is not there, and the error for it."""
        for place, point in enumerate(points):
            for name, vector in named(point.vector):
                if error := self._unfit(name, vector):
                    return place, error
        return None

    def check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._dense and name not in self._sparse:
                raise unknown_vector(name)

    def _check_shape(self, place: int, vectors: Any) -> None:
        bare = not isinstance(vectors, dict)
        for _, vector in named(vectors):
            grpc_path = f"points[{place}].vectors.vectors_options.vector{'' if bare else 's.[]'}"
            rest_path = f"points[{place}].vector{'' if bare else '.?'}"
            if isinstance(vector, m.SparseVector):
                check_sparse(vector, grpc_path, rest_path)
            elif not isinstance(vector, list):
                raise bad_input(f"inference is not available for {type(vector).__name__}")
            elif not vector:
                raise empty_vector(rest_path)
            elif isinstance(vector[0], list):
                check_rows(vector, grpc_path, rest_path)

    def _check_size(self, name: str, vector: Any) -> None:
        params = self._dense.get(name)
        if params is None or isinstance(vector, m.SparseVector):
            return
        row = vector[0] if isinstance(vector[0], list) else vector
        if len(row) != params.size:
            raise bad_input(f"Vector dimension error: expected dim: {params.size}, got {len(row)}")

    def _unfit(self, name: str, vector: Any) -> ApiError | None:
        sparse = isinstance(vector, m.SparseVector)
        if name not in (self._sparse if sparse else self._dense):
            if name in self._dense or name in self._sparse:
                return bad_input("Conversion between sparse and regular vectors failed")
            return unknown_vector(name)
        if not sparse and isinstance(vector[0], list) and self._dense[name].multivector_config is None:
            return bad_input("Conversion between multi and regular vectors failed")
        return None


def named(vectors: Any) -> Iterable[tuple[str, Any]]:
    """Name and vector; a bare vector has the empty name."""
    if vectors is None:
        return ()
    return vectors.items() if isinstance(vectors, dict) else (("", vectors),)


def empty_vector(rest_path: str) -> ApiError:
    problem = f"{rest_path}.vector: dense vector must not be empty"
    return ApiError(
        Failure.VALIDATION, f"Wrong input: {problem}", rest_message=f"Validation error in JSON body: [{problem}]"
    )


def check_sparse(vector: m.SparseVector, grpc_path: str, rest_path: str) -> None:
    if len(vector.indices) != len(vector.values):
        text = "Validation error: must be the same length as indices [{}]"
        raise invalid(f"{grpc_path}.values", f"{rest_path}.values", text)
    if len(set(vector.indices)) != len(vector.indices):
        raise invalid(f"{grpc_path}.indices", f"{rest_path}.indices", "Validation error: must be unique [{}]")


def check_rows(rows: list[list[float]], grpc_path: str, rest_path: str) -> None:
    if not all(rows):
        raise invalid(f"{grpc_path}.data", f"{rest_path}.data", "all vectors must be non-empty")
    for row in rows:
        if len(row) != len(rows[0]):
            text = f"all vectors must have the same dimension, found vector with dimension {len(row)}"
            raise invalid(f"{grpc_path}.data", f"{rest_path}.data", text)


def unpacked(insert: m.PointsList | m.PointsBatch) -> list[m.PointStruct]:
    """The points of a list, or of a batch in columns."""
    if isinstance(insert, m.PointsList):
        return list(insert.points)
    batch = insert.batch
    columns: dict[Any, Any] = batch.vectors if isinstance(batch.vectors, dict) else {None: batch.vectors}
    for column, kind in [(c, "vectors") for c in columns.values()] + [(batch.payloads, "payloads")]:
        if column is not None and len(column) != len(batch.ids):
            text = f"number of ids and {kind} must be equal ({len(batch.ids)} != {len(column)})"
            raise invalid("batch.batch", "batch.batch", text)
    payloads: list[Any] = batch.payloads or [None] * len(batch.ids)
    rows = columns[None] if None in columns else [{n: c[i] for n, c in columns.items()} for i in range(len(batch.ids))]
    return [
        m.PointStruct.model_construct(id=key, vector=vector, payload=payload)
        for key, vector, payload in zip(batch.ids, rows, payloads, strict=True)
    ]
