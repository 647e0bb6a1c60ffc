"""The gRPC wire: the official messages and paths, answered by the core."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from qdrant_client import grpc as messages

from tests.support.tls_certificates import Certificates

from . import grpc_collections as collections
from . import grpc_points as points
from .errors import ApiError, engine_errors
from .service import Service

Answer = Callable[[Service, Any], Any]

# path of the call: name in the request log, class of the request, what answers it
CALLS: dict[str, tuple[str, Any, Answer]] = {
    "Qdrant/HealthCheck": ("health", messages.HealthCheckRequest, collections.health),
    "Collections/Create": ("create_collection", messages.CreateCollection, collections.create),
    "Collections/Update": ("update_collection", messages.UpdateCollection, collections.update),
    "Collections/Delete": ("delete_collection", messages.DeleteCollection, collections.delete),
    "Collections/Get": ("get_collection", messages.GetCollectionInfoRequest, collections.get),
    "Collections/CollectionExists": ("collection_exists", messages.CollectionExistsRequest, collections.exists),
    "Collections/List": ("list_collections", messages.ListCollectionsRequest, collections.list_collections),
    "Collections/UpdateAliases": ("update_aliases", messages.ChangeAliases, collections.update_aliases),
    "Collections/ListAliases": ("list_aliases", messages.ListAliasesRequest, collections.list_aliases),
    "Collections/ListCollectionAliases": (
        "list_collection_aliases",
        messages.ListCollectionAliasesRequest,
        collections.list_collection_aliases,
    ),
    "Collections/CreateShardKey": ("create_shard_key", messages.CreateShardKeyRequest, collections.standalone),
    "Collections/DeleteShardKey": ("delete_shard_key", messages.DeleteShardKeyRequest, collections.standalone),
    "Points/Scroll": ("scroll", messages.ScrollPoints, points.scroll),
    "Points/Get": ("retrieve", messages.GetPoints, points.get),
    "Points/Count": ("count", messages.CountPoints, points.count),
    "Points/Query": ("query", messages.QueryPoints, points.query),
    "Points/QueryBatch": ("query_batch", messages.QueryBatchPoints, points.query_batch),
    "Points/Upsert": ("upsert", messages.UpsertPoints, points.upsert),
    "Points/Delete": ("delete_points", messages.DeletePoints, points.delete),
    "Points/SetPayload": ("set_payload", messages.SetPayloadPoints, points.set_payload),
    "Points/OverwritePayload": ("overwrite_payload", messages.SetPayloadPoints, points.overwrite_payload),
    "Points/DeletePayload": ("delete_payload", messages.DeletePayloadPoints, points.delete_payload),
    "Points/ClearPayload": ("clear_payload", messages.ClearPayloadPoints, points.clear_payload),
    "Points/UpdateVectors": ("update_vectors", messages.UpdatePointVectors, points.update_vectors),
    "Points/DeleteVectors": ("delete_vectors", messages.DeletePointVectors, points.delete_vectors),
    "Points/UpdateBatch": ("update_batch", messages.UpdateBatchPoints, points.update_batch),
    "Points/CreateFieldIndex": ("create_index", messages.CreateFieldIndexCollection, points.create_index),
    "Points/DeleteFieldIndex": ("delete_index", messages.DeleteFieldIndexCollection, points.delete_index),
}
OPEN_CALLS = ("Qdrant/HealthCheck",)
THREADS = 8
NO_LIMIT = -1


class Calls(grpc.GenericRpcHandler):
    """Finds what answers a call; a call that is not built is logged and answered UNIMPLEMENTED."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        path = handler_call_details.method.removeprefix("/qdrant.")
        headers = {key.lower(): value for key, value in handler_call_details.invocation_metadata}
        if path not in CALLS:
            return grpc.unary_unary_rpc_method_handler(self._not_built(path))
        method, request_class, answer = CALLS[path]

        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                if path not in OPEN_CALLS:
                    self._service.check_key(headers, method)
                collection = getattr(request, "collection_name", "")
                with self._service.request("grpc", method, collection), engine_errors():
                    return answer(self._service, request)
            except ApiError as error:
                refuse(context, error)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request_class.FromString, response_serializer=serialized
        )

    def _not_built(self, path: str) -> Callable[[bytes, grpc.ServicerContext], None]:
        def handle(_request: bytes, context: grpc.ServicerContext) -> None:
            with self._service.request("grpc", path, ""):
                context.abort(grpc.StatusCode.UNIMPLEMENTED, f"The loopback server has no {path}")

        return handle


def serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def refuse(context: grpc.ServicerContext, error: ApiError) -> None:
    if error.retry_after_s is not None:
        context.set_trailing_metadata((("retry-after", str(error.retry_after_s)),))
    context.abort(error.grpc_code, error.grpc_message)


class GrpcWire:
    """A gRPC server on 127.0.0.1; port 0 takes a free one."""

    def __init__(self, service: Service, port: int, certificates: Certificates | None = None) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="loopback-grpc")
        options = [
            ("grpc.max_send_message_length", NO_LIMIT),
            ("grpc.max_receive_message_length", NO_LIMIT),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.server(self._threads, handlers=[Calls(service)], options=options)
        self.port = self._open(f"127.0.0.1:{port}", certificates)
        self._server.start()

    def _open(self, address: str, certificates: Certificates | None) -> int:
        if certificates is None:
            return int(self._server.add_insecure_port(address))
        pair = (certificates.key.read_bytes(), certificates.certificate.read_bytes())
        return int(self._server.add_secure_port(address, grpc.ssl_server_credentials([pair])))

    def stop(self) -> None:
        """Cut what is under way, as the end of a process would."""
        self._server.stop(grace=None).wait()
        self._threads.shutdown()
