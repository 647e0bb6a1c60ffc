"""Points over gRPC."""

from typing import Any

from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http import models as m

from .errors import bad_request
from .grpc_collections import optional, scalar
from .grpc_values import payload_from, point_from, record_to, scored_to, vectors_from
from .service import Service

FIELD_TYPES = {
    grpc.FieldType.FieldTypeKeyword: m.PayloadSchemaType.KEYWORD,
    grpc.FieldType.FieldTypeInteger: m.PayloadSchemaType.INTEGER,
    grpc.FieldType.FieldTypeFloat: m.PayloadSchemaType.FLOAT,
    grpc.FieldType.FieldTypeGeo: m.PayloadSchemaType.GEO,
    grpc.FieldType.FieldTypeText: m.PayloadSchemaType.TEXT,
    grpc.FieldType.FieldTypeBool: m.PayloadSchemaType.BOOL,
    grpc.FieldType.FieldTypeDatetime: m.PayloadSchemaType.DATETIME,
    grpc.FieldType.FieldTypeUuid: m.PayloadSchemaType.UUID,
}


def updated(result: m.UpdateResult) -> grpc.PointsOperationResponse:
    return grpc.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))


def selection(request: Any) -> dict[str, Any]:
    """What a read wants to see of each point."""
    return {
        "with_payload": optional(request, "with_payload", GrpcToRest.convert_with_payload_interface),
        "with_vector": optional(request, "with_vectors", GrpcToRest.convert_with_vectors_selector),
    }


# reads


def scroll(service: Service, request: Any) -> grpc.ScrollResponse:
    wanted = m.ScrollRequest(
        offset=optional(request, "offset", GrpcToRest.convert_point_id),
        limit=scalar(request, "limit"),
        filter=optional(request, "filter", GrpcToRest.convert_filter),
        order_by=optional(request, "order_by", GrpcToRest.convert_order_by),
        **selection(request),
    )
    found = service.verbs.scroll(request.collection_name, wanted)
    following = found.next_page_offset
    return grpc.ScrollResponse(
        result=[record_to(record) for record in found.points],
        next_page_offset=None if following is None else RestToGrpc.convert_extended_point_id(following),
    )


def get(service: Service, request: Any) -> grpc.GetResponse:
    wanted = m.PointRequest(ids=[GrpcToRest.convert_point_id(key) for key in request.ids], **selection(request))
    found = service.verbs.retrieve(request.collection_name, wanted)
    return grpc.GetResponse(result=[record_to(record) for record in found])


def count(service: Service, request: Any) -> grpc.CountResponse:
    wanted = m.CountRequest(
        filter=optional(request, "filter", GrpcToRest.convert_filter), exact=scalar(request, "exact")
    )
    return grpc.CountResponse(
        result=RestToGrpc.convert_count_result(service.verbs.count(request.collection_name, wanted))
    )


def query(service: Service, request: Any) -> grpc.QueryResponse:
    found = service.verbs.query(request.collection_name, GrpcToRest.convert_query_points(request))
    return grpc.QueryResponse(result=[scored_to(point) for point in found])


def query_batch(service: Service, request: Any) -> grpc.QueryBatchResponse:
    wanted = [GrpcToRest.convert_query_points(one) for one in request.query_points]
    answers = service.verbs.query_batch(request.collection_name, wanted)
    return grpc.QueryBatchResponse(
        result=[grpc.BatchResult(result=[scored_to(point) for point in answer]) for answer in answers]
    )


# writes


def upsert(service: Service, request: Any) -> grpc.PointsOperationResponse:
    return updated(service.verbs.upsert(request.collection_name, point_list(request), request.wait))


def point_list(request: Any) -> m.PointsList:
    return m.PointsList.model_construct(
        points=[point_from(point) for point in request.points],
        shard_key=None,
        update_filter=optional(request, "update_filter", GrpcToRest.convert_filter),
        update_mode=optional(request, "update_mode", GrpcToRest.convert_update_mode) if has_mode(request) else None,
    )


def has_mode(request: Any) -> bool:
    return "update_mode" in request.DESCRIPTOR.fields_by_name


def delete(service: Service, request: Any) -> grpc.PointsOperationResponse:
    return change(service, request, m.DeleteOperation(delete=selector(request.points)))


def set_payload(service: Service, request: Any) -> grpc.PointsOperationResponse:
    return change(service, request, m.SetPayloadOperation(set_payload=payload_body(request)))


def overwrite_payload(service: Service, request: Any) -> grpc.PointsOperationResponse:
    return change(service, request, m.OverwritePayloadOperation(overwrite_payload=payload_body(request)))


def payload_body(request: Any) -> m.SetPayload:
    return m.SetPayload(
        payload=payload_from(request.payload), key=scalar(request, "key"), **parts(request.points_selector)
    )


def delete_payload(service: Service, request: Any) -> grpc.PointsOperationResponse:
    body = m.DeletePayload(keys=list(request.keys), **parts(request.points_selector))
    return change(service, request, m.DeletePayloadOperation(delete_payload=body))


def clear_payload(service: Service, request: Any) -> grpc.PointsOperationResponse:
    return change(service, request, m.ClearPayloadOperation(clear_payload=selector(request.points)))


def change(service: Service, request: Any, operation: Any) -> grpc.PointsOperationResponse:
    return updated(service.verbs.change_payload(request.collection_name, operation, request.wait))


def selector(points: Any) -> Any:
    if points.WhichOneof("points_selector_one_of") is None:
        raise bad_request("Empty update request")
    return GrpcToRest.convert_points_selector(points)


def parts(points: Any) -> dict[str, Any]:
    """A selector as the two fields that payload operations have for it."""
    chosen = selector(points)
    return {"filter": chosen.filter} if isinstance(chosen, m.FilterSelector) else {"points": chosen.points}


def update_vectors(service: Service, request: Any) -> grpc.PointsOperationResponse:
    operation = m.UpdateVectorsOperation.model_construct(update_vectors=vectors_body(request))
    return updated(service.verbs.change_vectors(request.collection_name, operation, request.wait))


def vectors_body(request: Any) -> m.UpdateVectors:
    points = [
        m.PointVectors.model_construct(id=GrpcToRest.convert_point_id(point.id), vector=vectors_from(point))
        for point in request.points
    ]
    where = optional(request, "update_filter", GrpcToRest.convert_filter)
    return m.UpdateVectors.model_construct(points=points, shard_key=None, update_filter=where)


def delete_vectors(service: Service, request: Any) -> grpc.PointsOperationResponse:
    body = m.DeleteVectors(vector=list(request.vectors.names), **parts(request.points_selector))
    operation = m.DeleteVectorsOperation(delete_vectors=body)
    return updated(service.verbs.change_vectors(request.collection_name, operation, request.wait))


def update_batch(service: Service, request: Any) -> grpc.UpdateBatchResponse:
    operations = [operation_from(operation) for operation in request.operations]
    results = service.verbs.update_batch(request.collection_name, operations, request.wait)
    return grpc.UpdateBatchResponse(result=[RestToGrpc.convert_update_result(result) for result in results])


def operation_from(operation: Any) -> Any:
    """The operations that carry payload or vectors are read here, so that NaN is treated as elsewhere."""
    name = operation.WhichOneof("operation")
    body = getattr(operation, name or "upsert")
    if name == "upsert":
        return m.UpsertOperation.model_construct(upsert=point_list(body))
    if name == "set_payload":
        return m.SetPayloadOperation(set_payload=payload_body(body))
    if name == "overwrite_payload":
        return m.OverwritePayloadOperation(overwrite_payload=payload_body(body))
    if name == "update_vectors":
        return m.UpdateVectorsOperation.model_construct(update_vectors=vectors_body(body))
    return GrpcToRest.convert_points_update_operation(operation)


# payload indexes


def create_index(service: Service, request: Any) -> grpc.PointsOperationResponse:
    schema = optional(request, "field_index_params", GrpcToRest.convert_payload_schema_params)
    if schema is None:
        schema = FIELD_TYPES[request.field_type]
    return updated(service.verbs.create_index(request.collection_name, request.field_name, schema, request.wait))


def delete_index(service: Service, request: Any) -> grpc.PointsOperationResponse:
    return updated(service.verbs.delete_index(request.collection_name, request.field_name, request.wait))
