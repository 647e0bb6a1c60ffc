"""A Qdrant server for tests: official gRPC and REST on 127.0.0.1, qdrant-edge behind them."""

from .faults import Faults, Gate
from .request_log import Request, RequestLog
from .server import QdrantServer
from .target import QdrantTarget, qdrant_target

__all__ = ["Faults", "Gate", "QdrantServer", "QdrantTarget", "Request", "RequestLog", "qdrant_target"]
