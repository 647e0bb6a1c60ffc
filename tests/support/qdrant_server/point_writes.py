"""Changes to points as operations of the engine."""

from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as m

from .engine_filters import engine_filter
from .engine_queries import engine_vector
from .errors import ApiError, bad_request
from .point_checks import VectorRules
from .point_ids import PointId, point_id, point_ids

UPDATE_MODES = {
    m.UpdateMode.UPSERT: edge.UpdateMode.Upsert,
    m.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
    m.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
}
Operation = edge.UpdateOperation
Selected = tuple[list[PointId] | None, m.Filter | None]


def upsert_operations(
    rules: VectorRules, points: Sequence[m.PointStruct], where: m.Filter | None, mode: m.UpdateMode | None
) -> tuple[list[Operation], ApiError | None]:
    """What to apply, and the error to answer with after it: a late refusal leaves the points before it stored."""
    ids = [point_id(point.id) for point in points]
    rules.check(points)
    late = rules.first_unfit(points)
    good = len(points) if late is None else late[0]
    rows = [
        edge.Point(key, engine_vectors(point.vector), point.payload)
        for key, point in zip(ids[:good], points[:good], strict=True)
    ]
    operation = Operation.upsert_points(
        rows, condition=engine_filter(where, "update_filter"), update_mode=None if mode is None else UPDATE_MODES[mode]
    )
    return ([operation] if rows else []), (late[1] if late else None)


def payload_operation(change: Any) -> tuple[Operation, m.Filter | None]:
    """One operation, and the filter that it selects by, if any."""
    if isinstance(change, m.DeleteOperation):
        return by(change.delete, Operation.delete_points, Operation.delete_points_by_filter)
    if isinstance(change, m.ClearPayloadOperation):
        return by(change.clear_payload, Operation.clear_payload, Operation.clear_payload_by_filter)
    if isinstance(change, m.DeletePayloadOperation):
        body: Any = change.delete_payload
        return by(body, Operation.delete_payload, Operation.delete_payload_by_filter, body.keys)
    if isinstance(change, m.SetPayloadOperation):
        body = change.set_payload
        return by(body, Operation.set_payload, Operation.set_payload_by_filter, body.payload, body.key)
    body = change.overwrite_payload
    return by(body, Operation.overwrite_payload, Operation.overwrite_payload_by_filter, body.payload, body.key)


def vector_operation(rules: VectorRules, change: Any) -> tuple[Operation, m.Filter | None]:
    """Update or delete named vectors."""
    if isinstance(change, m.DeleteVectorsOperation):
        rules.check_names(change.delete_vectors.vector)
        body = change.delete_vectors
        return by(body, Operation.delete_vectors, Operation.delete_vectors_by_filter, body.vector)
    body = change.update_vectors
    if not body.points:
        raise bad_request("Empty update request")
    rules.check(body.points)
    if late := rules.first_unfit(body.points):
        raise late[1]
    rows = [edge.PointVectors(point_id(point.id), engine_vectors(point.vector)) for point in body.points]
    return Operation.update_vectors(rows, engine_filter(body.update_filter, "update_filter")), body.update_filter


def by(body: Any, of_ids: Any, of_filter: Any, *rest: Any) -> tuple[Operation, m.Filter | None]:
    """The operation for what a body selects: by ids or by a filter."""
    ids, where = selected(body)
    if where is not None:
        return of_filter(engine_filter(where, "points_selector"), *rest), where
    return of_ids(ids, *rest), None


def selected(body: Any) -> Selected:
    ids, where = getattr(body, "points", None), getattr(body, "filter", None)
    if ids:
        return point_ids(ids), None
    if where is None:
        raise bad_request("Empty update request")
    return None, where


def engine_vectors(vectors: Any) -> Any:
    """A bare vector, or those of a point by name."""
    if vectors is None:
        return {}
    if isinstance(vectors, dict):
        return {name: engine_vector(vector) for name, vector in vectors.items()}
    return engine_vector(vectors)
