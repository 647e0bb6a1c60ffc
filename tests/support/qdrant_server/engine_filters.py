"""Filters, selectors and orders as the engine wants them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models as m

from .errors import ApiError, Failure, not_built
from .point_ids import point_ids

CLAUSES = ("must", "should", "must_not")


def clause(value: Any) -> list[Any]:
    """A clause holds one condition or a list of them."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def conditions(where: m.Filter | None) -> Iterator[tuple[str, Any]]:
    """Every condition with its path (`must[0]`), those inside nested filters too."""
    for name in CLAUSES if where else ():
        for place, condition in enumerate(clause(getattr(where, name))):
            yield from inner_conditions(f"{name}[{place}]", condition)
    if where and where.min_should:
        for place, condition in enumerate(where.min_should.conditions):
            yield from inner_conditions(f"min_should.conditions[{place}]", condition)


def inner_conditions(path: str, condition: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(condition, m.Filter):
        yield from ((f"{path}.{inner}", found) for inner, found in conditions(condition))
    elif isinstance(condition, m.NestedCondition):
        yield from ((f"{path}.{inner}", found) for inner, found in conditions(condition.nested.filter))
    else:
        yield path, condition


def engine_filter(where: m.Filter | None, body: str = "scroll_request") -> edge.Filter | None:
    """`body` is how REST calls the request in the path of a validation error."""
    if where is None:
        return None
    for path, condition in conditions(where):
        check_slice(path, condition, body)
    return plain_filter(where)


def plain_filter(where: m.Filter) -> edge.Filter:
    clauses = {
        name: [engine_condition(condition) for condition in clause(getattr(where, name))] or None for name in CLAUSES
    }
    return edge.Filter(**clauses, min_should=least_should(where.min_should))


def least_should(least: m.MinShould | None) -> edge.MinShould | None:
    if least is None:
        return None
    return edge.MinShould([engine_condition(condition) for condition in least.conditions], least.min_count)


def check_slice(path: str, condition: Any, body: str) -> None:
    if isinstance(condition, m.SliceCondition) and condition.slice.index >= condition.slice.total:
        raise ApiError(
            Failure.VALIDATION,
            f"Validation error in body: [filter.{path}.condition_one_of.index: "
            "Validation error: must be less than the total number of slices [{}]]",
            rest_message=f"Validation error in JSON body: [{body}.filter.{path}.__all__: "
            "Validation error: Slice index must be less than the total number of slices [{}]]",
        )


CONDITIONS: dict[type, Callable[[Any], Any]] = {
    m.Filter: lambda c: plain_filter(c),
    m.FieldCondition: lambda c: field_condition(c),
    m.IsEmptyCondition: lambda c: edge.IsEmptyCondition(c.is_empty.key),
    m.IsNullCondition: lambda c: plain_null(c.is_null.key),
    m.HasIdCondition: lambda c: edge.HasIdCondition(set(point_ids(c.has_id))),
    m.HasVectorCondition: lambda c: edge.HasVectorCondition(c.has_vector),
    m.NestedCondition: lambda c: edge.NestedCondition(c.nested.key.removesuffix("[]"), plain_filter(c.nested.filter)),
    m.SliceCondition: lambda c: edge.SliceCondition(c.slice.total, c.slice.index),
}
MATCHES: dict[type, Callable[[Any], Any]] = {
    m.MatchValue: lambda x: edge.MatchValue(bool_for_engine(x.value)),
    m.MatchText: lambda x: edge.MatchText(x.text),
    m.MatchTextAny: lambda x: edge.MatchTextAny(x.text_any),
    m.MatchPhrase: lambda x: edge.MatchPhrase(x.phrase),
    m.MatchPrefix: lambda x: edge.MatchPrefix(x.prefix),
    m.MatchSubstring: lambda x: edge.MatchSubstring(x.substring),
    m.MatchAny: lambda x: edge.MatchAny(x.any),
    m.MatchExcept: lambda x: edge.MatchExcept(x.except_),
}


def bool_for_engine(value: Any) -> Any:
    """The engine takes Python's bool for the integer that it is; numpy's is none."""
    return np.bool_(value) if isinstance(value, bool) else value


def plain_null(key: str) -> edge.Filter:
    """The engine's own condition also finds lists that hold a null, the server's does not."""
    counted = edge.FieldCondition(key, values_count=edge.ValuesCount(gt=0))
    return edge.Filter(must=[edge.IsNullCondition(key)], must_not=[counted])


def engine_condition(condition: Any) -> Any:
    return CONDITIONS[type(condition)](condition)


def field_condition(condition: m.FieldCondition) -> edge.FieldCondition:
    return edge.FieldCondition(
        condition.key,
        match=None if condition.match is None else MATCHES[type(condition.match)](condition.match),
        range=engine_range(condition.range),
        geo_bounding_box=bounding_box(condition.geo_bounding_box),
        geo_radius=radius(condition.geo_radius),
        geo_polygon=polygon(condition.geo_polygon),
        values_count=values_count(condition.values_count),
        is_empty=condition.is_empty,
        is_null=condition.is_null,
    )


def engine_range(limits: Any) -> Any:
    if limits is None:
        return None
    bounds = {name: getattr(limits, name) for name in ("gte", "gt", "lte", "lt")}
    if isinstance(limits, m.DatetimeRange):
        return edge.RangeDateTime(**{k: None if v is None else v.isoformat() for k, v in bounds.items()})
    return edge.RangeFloat(**bounds)


def bounding_box(box: m.GeoBoundingBox | None) -> Any:
    return box and edge.GeoBoundingBox(geo(box.top_left), geo(box.bottom_right))


def radius(circle: m.GeoRadius | None) -> Any:
    return circle and edge.GeoRadius(geo(circle.center), circle.radius)


def polygon(shape: m.GeoPolygon | None) -> Any:
    if shape is None:
        return None
    interiors = [[geo(point) for point in line.points] for line in shape.interiors or []]
    return edge.GeoPolygon([geo(point) for point in shape.exterior.points], interiors or None)


def geo(point: m.GeoPoint) -> edge.GeoPoint:
    return edge.GeoPoint(lon=point.lon, lat=point.lat)


def values_count(counts: m.ValuesCount | None) -> Any:
    return counts and edge.ValuesCount(lt=counts.lt, gt=counts.gt, lte=counts.lte, gte=counts.gte)


def payload_selector(selector: Any) -> Any:
    """Which payload to answer with: all, none, some keys, all but some keys."""
    if isinstance(selector, m.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(selector.include)
    if isinstance(selector, m.PayloadSelectorExclude):
        return edge.PayloadSelector.Exclude(selector.exclude)
    return selector


def engine_order(order: Any) -> edge.OrderBy | None:
    if order is None:
        return None
    if isinstance(order, str):
        return edge.OrderBy(order)
    start = order.start_from
    if start is not None and not isinstance(start, int | float):
        start = start.isoformat()
    down = order.direction == m.Direction.DESC
    return edge.OrderBy(order.key, edge.Direction.Desc if down else edge.Direction.Asc, start)


def search_params(params: m.SearchParams | None) -> edge.SearchParams | None:
    if params is None:
        return None
    if params.acorn is not None or params.idf is not None:
        raise not_built("search parameters acorn and idf")
    return edge.SearchParams(hnsw_ef=params.hnsw_ef, exact=bool(params.exact), indexed_only=bool(params.indexed_only))
