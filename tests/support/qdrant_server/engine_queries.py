"""Queries as the engine wants them."""

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as m

from .engine_filters import engine_filter, engine_order, payload_selector, search_params
from .errors import not_built
from .point_ids import PointId, point_id

DEFAULT_LIMIT = 10

# Gives the stored vector of a name of a point, or raises that there is no such point.
VectorOf = Callable[[PointId, str], Any]


def engine_query(request: m.QueryRequest, vector_of: VectorOf) -> edge.QueryRequest:
    """A whole query; ids as queries are replaced by their vectors and keep themselves out."""
    if request.lookup_from is not None:
        raise not_built("lookup_from")
    query, excluded = scoring(request.query, request.using or "", vector_of)
    return edge.QueryRequest(
        limit=DEFAULT_LIMIT if request.limit is None else request.limit,
        offset=request.offset or 0,
        query=query,
        prefetches=prefetches(request.prefetch, vector_of),
        with_vector=False if request.with_vector is None else request.with_vector,
        with_payload=False if request.with_payload is None else payload_selector(request.with_payload),
        filter=engine_filter(without(request.filter, excluded), "internal"),
        score_threshold=request.score_threshold,
        params=search_params(request.params),
    )


def prefetches(stages: Any, vector_of: VectorOf) -> list[edge.Prefetch] | None:
    if stages is None:
        return None
    return [prefetch(stage, vector_of) for stage in (stages if isinstance(stages, list) else [stages])]


def prefetch(stage: m.Prefetch, vector_of: VectorOf) -> edge.Prefetch:
    if stage.lookup_from is not None:
        raise not_built("lookup_from")
    query, excluded = scoring(stage.query, stage.using or "", vector_of)
    return edge.Prefetch(
        limit=DEFAULT_LIMIT if stage.limit is None else stage.limit,
        query=query,
        prefetches=prefetches(stage.prefetch, vector_of),
        params=search_params(stage.params),
        filter=engine_filter(without(stage.filter, excluded), "internal"),
        score_threshold=stage.score_threshold,
    )


def without(where: m.Filter | None, excluded: PointId | None) -> m.Filter | None:
    """The filter that also leaves out the point that is its own query."""
    if excluded is None:
        return where
    others = m.Filter(must_not=[m.HasIdCondition(has_id=[excluded])])
    return others if where is None else m.Filter(must=[where, others])


def scoring(query: Any, using: str, vector_of: VectorOf) -> tuple[Any, PointId | None]:
    """The engine's query, and the id of the point that it was taken from."""
    if query is None:
        return None, None
    if isinstance(query, m.NearestQuery):
        if query.mmr is not None:
            raise not_built("mmr queries")
        query = query.nearest
    if isinstance(query, list | m.SparseVector):
        return edge.Query.Nearest(engine_vector(query), using), None
    if isinstance(query, m.OrderByQuery):
        return engine_order(query.order_by), None
    if isinstance(query, m.FusionQuery):
        return edge.Fusion.Dbsf() if query.fusion == m.Fusion.DBSF else edge.Fusion.Rrf(k=2), None
    if isinstance(query, m.RrfQuery):
        return edge.Fusion.Rrf(k=query.rrf.k or 2, weights=query.rrf.weights), None
    if isinstance(query, m.SampleQuery):
        return edge.Sample.Random, None
    if not isinstance(query, int | str):
        raise not_built(f"queries of the kind {type(query).__name__}")
    same = point_id(query)
    return edge.Query.Nearest(engine_vector(vector_of(same, using)), using), same


def engine_vector(vector: Any) -> Any:
    """One vector of any kind."""
    if isinstance(vector, m.SparseVector):
        return edge.SparseVector(vector.indices, vector.values)
    return vector
