"""Failures that a test orders: refuse, lose the answer, delay, or hold a request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from .errors import ApiError, Failure

HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
}
HOLD_LIMIT_S = 60.0


@dataclass
class Gate:
    """A held request: wait until it has arrived, look around, let it go on."""

    _arrived: threading.Event = field(default_factory=threading.Event)
    _opened: threading.Event = field(default_factory=threading.Event)

    def wait_for_request(self, timeout_s: float = 10.0) -> bool:
        return self._arrived.wait(timeout_s)

    def open(self) -> None:
        self._opened.set()

    def pass_through(self) -> None:
        self._arrived.set()
        self._opened.wait(HOLD_LIMIT_S)


@dataclass
class Fault:
    """What happens to the next `times` requests of a method (of one collection, or of any)."""

    method: str
    collection: str | None
    times: int
    skip: int = 0
    error: ApiError | None = None
    applied: bool = False
    delay_s: float = 0.0
    gate: Gate | None = None

    def fits(self, method: str, collection: str) -> bool:
        return self.times > 0 and self.method == method and self.collection in (None, collection)


class Faults:
    """The ordered faults. Methods are named as in the request log (`upsert`, `scroll`, ...)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._cleared = threading.Event()

    def fail(
        self,
        method: str,
        times: int = 1,
        *,
        skip: int = 0,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        http_status: int | None = None,
        message: str = "ordered by a test",
        collection: str | None = None,
        applied: bool = False,
        retry_after_s: int | None = None,
    ) -> None:
        """Refuse the next `times` requests after `skip` good ones; `applied`: do the work, lose the answer."""
        error = ApiError(
            Failure.INTERNAL,
            message,
            grpc_code=code,
            http_status=http_status or HTTP_STATUS.get(code, 500),
            retry_after_s=retry_after_s,
        )
        self._add(Fault(method, collection, times, skip, error=error, applied=applied))

    def delay(self, method: str, delay_s: float, times: int = 1, *, collection: str | None = None) -> None:
        """Answer the next `times` requests late."""
        self._add(Fault(method, collection, times, delay_s=delay_s))

    @contextmanager
    def hold(self, method: str, *, skip: int = 0, collection: str | None = None) -> Iterator[Gate]:
        """Stop the next request (after `skip` others) before its work, until the gate opens or the block ends."""
        gate = Gate()
        self._add(Fault(method, collection, 1, skip, gate=gate))
        try:
            yield gate
        finally:
            gate.open()

    def clear(self) -> None:
        """Forget every fault, let held and delayed requests go on."""
        with self._lock:
            self._cleared.set()
            self._cleared = threading.Event()
            for fault in self._faults:
                if fault.gate:
                    fault.gate.open()
            self._faults.clear()

    @contextmanager
    def around(self, method: str, collection: str) -> Iterator[None]:
        """Let a request meet what was ordered for it."""
        faults = self._take(method, collection)
        for fault in faults:
            self._before(fault)
        yield
        for fault in faults:
            if fault.error and fault.applied:
                raise fault.error

    def _before(self, fault: Fault) -> None:
        if fault.gate:
            fault.gate.pass_through()
        if fault.delay_s:
            self._cleared.wait(fault.delay_s)
        if fault.error and not fault.applied:
            raise fault.error

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _take(self, method: str, collection: str) -> list[Fault]:
        with self._lock:
            taken = []
            for fault in (f for f in self._faults if f.fits(method, collection)):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                taken.append(fault)
            return taken
