"""Collections and aliases over gRPC."""

from typing import Any

from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http import models as m

from .errors import ApiError, Failure
from .grpc_values import payload_from, within_int64
from .service import TITLE, VERSION, Service


def optional(request: Any, field: str, convert: Any) -> Any:
    """A converted field, or nothing where it is not set."""
    return convert(getattr(request, field)) if request.HasField(field) else None


def scalar(request: Any, field: str) -> Any:
    return getattr(request, field) if request.HasField(field) else None


def done(value: bool) -> grpc.CollectionOperationResponse:
    return grpc.CollectionOperationResponse(result=value)


def health(_service: Service, _request: Any) -> grpc.HealthCheckReply:
    return grpc.HealthCheckReply(title=TITLE, version=VERSION)


def create(service: Service, request: Any) -> grpc.CollectionOperationResponse:
    return done(service.verbs.create_collection(request.collection_name, creation(request)))


def creation(request: Any) -> m.CreateCollection:
    """The converters have no form for the whole request."""
    datatypes(request)
    return m.CreateCollection(
        vectors=optional(request, "vectors_config", GrpcToRest.convert_vectors_config),
        shard_number=scalar(request, "shard_number"),
        sharding_method=optional(request, "sharding_method", GrpcToRest.convert_sharding_method),
        replication_factor=scalar(request, "replication_factor"),
        write_consistency_factor=scalar(request, "write_consistency_factor"),
        on_disk_payload=scalar(request, "on_disk_payload"),
        payload=optional(request, "payload", GrpcToRest.convert_payload_storage_params),
        id_tracker=optional(request, "id_tracker", GrpcToRest.convert_id_tracker_params),
        hnsw_config=optional(request, "hnsw_config", GrpcToRest.convert_hnsw_config_diff),
        wal_config=optional(request, "wal_config", GrpcToRest.convert_wal_config_diff),
        optimizers_config=optional(request, "optimizers_config", GrpcToRest.convert_optimizers_config_diff),
        quantization_config=optional(request, "quantization_config", GrpcToRest.convert_quantization_config),
        sparse_vectors=optional(request, "sparse_vectors_config", GrpcToRest.convert_sparse_vector_config),
        strict_mode_config=optional(request, "strict_mode_config", GrpcToRest.convert_strict_mode_config),
        metadata=payload_from(request.metadata) or None,
    )


def datatypes(request: Any) -> None:
    """The newest datatypes have numbers that a 1.19 server does not know."""
    config = request.vectors_config
    for params in [config.params, *config.params_map.map.values()]:
        if params.datatype > grpc.Datatype.Turbo4:
            raise ApiError(Failure.BAD_INPUT, f"Cannot convert datatype: {params.datatype}")


def update(service: Service, request: Any) -> grpc.CollectionOperationResponse:
    change = GrpcToRest.convert_update_collection(request)
    change.metadata = payload_from(request.metadata) or None
    return done(service.verbs.update_collection(request.collection_name, change))


def delete(service: Service, request: Any) -> grpc.CollectionOperationResponse:
    return done(service.catalog.delete(request.collection_name))


def get(service: Service, request: Any) -> grpc.GetCollectionInfoResponse:
    info = service.catalog.get(request.collection_name).info()
    config = info.config.model_copy(update={"metadata": within_int64(info.config.metadata)})
    message = RestToGrpc.convert_collection_info(info.model_copy(update={"config": config}))
    return grpc.GetCollectionInfoResponse(result=message)


def exists(service: Service, request: Any) -> grpc.CollectionExistsResponse:
    found = service.catalog.exists(request.collection_name)
    return grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=found))


def list_collections(service: Service, _request: Any) -> grpc.ListCollectionsResponse:
    return grpc.ListCollectionsResponse(
        collections=[grpc.CollectionDescription(name=name) for name in service.catalog.names()]
    )


def update_aliases(service: Service, request: Any) -> grpc.CollectionOperationResponse:
    service.catalog.change_aliases([GrpcToRest.convert_alias_operations(action) for action in request.actions])
    return done(True)


def list_aliases(service: Service, _request: Any) -> grpc.ListAliasesResponse:
    return alias_list(service.catalog.aliases())


def list_collection_aliases(service: Service, request: Any) -> grpc.ListAliasesResponse:
    return alias_list(service.catalog.aliases(request.collection_name))


def alias_list(aliases: list[m.AliasDescription]) -> grpc.ListAliasesResponse:
    return grpc.ListAliasesResponse(aliases=[RestToGrpc.convert_alias_description(alias) for alias in aliases])


def standalone(_service: Service, _request: Any) -> Any:
    raise ApiError(Failure.STANDALONE, "Qdrant is running in standalone mode")
