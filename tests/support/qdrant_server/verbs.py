"""What the server can do, in the models of the REST API: the one core behind both wires."""

from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as m

from . import strict_mode
from .catalog import Catalog
from .collection import Collection
from .configuration import check_new_collection, new_config, updated_config
from .engine_config import engine_index
from .errors import ApiError, bad_body, bad_input, bad_request, engine_errors, invalid
from .point_checks import unpacked
from .point_writes import payload_operation, upsert_operations, vector_operation

ORDER_WITH_OFFSET = (
    "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a "
    "filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
)


class Verbs:
    """Every request that is understood; refusals are raised as `ApiError`."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    # collections

    def create_collection(self, name: str, create: m.CreateCollection) -> bool:
        check_new_collection(name, create)
        with engine_errors():
            self.catalog.create(name, new_config(create))
        return True

    def update_collection(self, name: str, update: m.UpdateCollection) -> bool:
        collection = self.catalog.get(name)
        collection.config = updated_config(collection.config, update)
        self.catalog.save()
        return True

    def create_index(self, name: str, field: str, schema: Any, wait: bool) -> m.UpdateResult:
        collection = self.catalog.get(name)
        with engine_errors():
            operation = edge.UpdateOperation.create_field_index(field, engine_index(schema))
        number = collection.apply(operation)
        collection.indexes = collection.indexes | {field: schema}
        self.catalog.save()
        return result(number, wait)

    def delete_index(self, name: str, field: str, wait: bool) -> m.UpdateResult:
        collection = self.catalog.get(name)
        with engine_errors():
            operation = edge.UpdateOperation.delete_field_index(field)
        number = collection.apply(operation)
        collection.indexes = {key: schema for key, schema in collection.indexes.items() if key != field}
        self.catalog.save()
        return result(number, wait)

    # points: reads

    def scroll(self, name: str, request: m.ScrollRequest) -> m.ScrollResult:
        collection = self.catalog.get(name)
        check_limit(request.limit, "scroll_request")
        self._check_read(collection, request.filter, limit=10 if request.limit is None else request.limit)
        if request.order_by is not None and request.offset is not None:
            raise bad_input(ORDER_WITH_OFFSET)
        with engine_errors():
            found, following = collection.scroll(request)
        return m.ScrollResult.model_construct(points=found, next_page_offset=following)

    def retrieve(self, name: str, request: m.PointRequest) -> list[m.Record]:
        collection = self.catalog.get(name)
        self._check_read(collection, None)
        with engine_errors():
            return collection.retrieve(request)

    def count(self, name: str, request: m.CountRequest) -> m.CountResult:
        collection = self.catalog.get(name)
        self._check_read(collection, request.filter)
        with engine_errors():
            return m.CountResult(count=collection.count(request))

    def query(self, name: str, request: m.QueryRequest) -> list[m.ScoredPoint]:
        collection = self.catalog.get(name)
        check_limit(request.limit, "internal")
        limit = 10 if request.limit is None else request.limit
        self._check_read(collection, request.filter, limit=limit, params=request.params)
        with engine_errors():
            return collection.query(request)

    def query_batch(self, name: str, requests: Sequence[m.QueryRequest]) -> list[list[m.ScoredPoint]]:
        self.catalog.get(name)
        return [self.query(name, request) for request in requests]

    # points: writes

    def upsert(self, name: str, insert: m.PointsList | m.PointsBatch, wait: bool) -> m.UpdateResult:
        collection = self.catalog.get(name)
        points = unpacked(insert)
        if not points:
            raise bad_request("Empty update request")
        self._check_write(collection, insert.update_filter, batch=len(points))
        with engine_errors():
            operations, error = upsert_operations(collection.rules, points, insert.update_filter, insert.update_mode)
        return collection.oddities.told(result(self._apply(collection, operations, error), wait), wait)

    def change_payload(self, name: str, change: Any, wait: bool) -> m.UpdateResult:
        """Set, overwrite, delete or clear payload, or delete points: one operation model of a batch update."""
        collection = self.catalog.get(name)
        with engine_errors():
            operation, where = payload_operation(change)
        self._check_write(collection, where)
        return collection.oddities.told(result(collection.apply(operation), wait), wait)

    def change_vectors(self, name: str, change: Any, wait: bool) -> m.UpdateResult:
        """Update or delete named vectors of points."""
        collection = self.catalog.get(name)
        with engine_errors():
            operation, where = vector_operation(collection.rules, change)
        self._check_write(collection, where)
        return result(collection.apply(operation), wait)

    def update_batch(self, name: str, operations: Sequence[Any], wait: bool) -> list[m.UpdateResult]:
        """Operations in order; a failing one stops the rest, what was done stays."""
        self.catalog.get(name)
        results = []
        for operation in operations:
            if isinstance(operation, m.UpsertOperation):
                results.append(self.upsert(name, operation.upsert, wait))
            elif isinstance(operation, m.UpdateVectorsOperation | m.DeleteVectorsOperation):
                results.append(self.change_vectors(name, operation, wait))
            else:
                results.append(self.change_payload(name, operation, wait))
        return results

    @staticmethod
    def _apply(collection: Collection, operations: list[edge.UpdateOperation], error: ApiError | None) -> int:
        number = collection.apply(*operations)
        if error:
            raise error
        return number

    @staticmethod
    def _check_read(
        collection: Collection, where: m.Filter | None, limit: int = 0, params: m.SearchParams | None = None
    ) -> None:
        if strict := strict_mode.enabled(collection.config):
            strict_mode.check_limit(limit, strict.max_query_limit, "limit")
            strict_mode.check_params(strict, params)
            strict_mode.check_filter(strict, where, collection.indexes, write=False)
            collection.rate_limit.spend("Read", strict.read_rate_limit)

    @staticmethod
    def _check_write(collection: Collection, where: m.Filter | None, batch: int = 0) -> None:
        if strict := strict_mode.enabled(collection.config):
            strict_mode.check_limit(batch, strict.upsert_max_batchsize, "upsert limit")
            strict_mode.check_filter(strict, where, collection.indexes, write=True)
            collection.rate_limit.spend("Write", strict.write_rate_limit, cost=max(1, batch))


def check_limit(limit: int | None, body: str) -> None:
    """Zero breaks a rule; below zero is no number that the server's JSON reader takes."""
    if limit == 0:
        raise invalid("limit", f"{body}.limit", "value 0 invalid, must be 1 or larger")
    if limit is not None and limit < 0:
        raise bad_body(f"invalid value: integer `{limit}`, expected usize")


def result(number: int, wait: bool) -> m.UpdateResult:
    """Everything is applied at once; without `wait` the server only says that it took the request."""
    status = m.UpdateStatus.COMPLETED if wait else m.UpdateStatus.ACKNOWLEDGED
    return m.UpdateResult(operation_id=number, status=status)
