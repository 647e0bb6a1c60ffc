"""The loopback server: both wires on one core."""

from pathlib import Path
from types import TracebackType

from tests.support.tls_certificates import Certificates

from .faults import Faults
from .grpc_wire import GrpcWire
from .oddities import Oddities
from .request_log import RequestLog
from .rest_wire import RestWire
from .service import Service
from .snapshots import Snapshots


class QdrantServer:
    """A Qdrant on 127.0.0.1 whose data live in `folder` and survive it; port 0 takes a free one.

    `read_only_key` may read and not write; `certificates` turn both wires into TLS. `requests` is the log of what
    was asked, `faults` orders failures. It serves from its start to its stop, as a context or by hand.
    """

    def __init__(
        self,
        folder: Path,
        api_key: str | None = None,
        *,
        grpc_port: int = 0,
        rest_port: int = 0,
        read_only_key: str | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.folder = folder
        self.api_key = api_key
        self.read_only_key = read_only_key
        self.certificates = certificates
        self.grpc_port = grpc_port
        self.rest_port = rest_port
        self._running: tuple[Service, GrpcWire, RestWire] | None = None

    def start(self) -> "QdrantServer":
        service = Service(self.folder, self.api_key, self.read_only_key)
        grpc_wire = GrpcWire(service, self.grpc_port, self.certificates)
        rest_wire = RestWire(service, self.rest_port, self.certificates)
        self.grpc_port, self.rest_port = grpc_wire.port, rest_wire.port
        self._running = (service, grpc_wire, rest_wire)
        return self

    def stop(self) -> None:
        """Cut both wires, then write everything down. Stopping twice is no error."""
        if self._running is None:
            return
        service, grpc_wire, rest_wire = self._running
        self._running = None
        service.faults.clear()
        rest_wire.stop()
        grpc_wire.stop()
        service.close()

    @property
    def url(self) -> str:
        return f"{'https' if self.certificates else 'http'}://127.0.0.1:{self.rest_port}"

    @property
    def requests(self) -> RequestLog:
        return self._service.requests

    @property
    def snapshots(self) -> Snapshots:
        return self._service.snapshots

    def oddities(self, collection: str) -> Oddities:
        """What the server is to say of a collection that a busy one would."""
        return self._service.catalog.get(collection).oddities

    @property
    def faults(self) -> Faults:
        return self._service.faults

    @property
    def _service(self) -> Service:
        if self._running is None:
            raise RuntimeError("the server is not running")
        return self._running[0]

    def __enter__(self) -> "QdrantServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
