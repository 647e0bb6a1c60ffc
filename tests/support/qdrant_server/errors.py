"""What a refused request is answered with, on either wire."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import grpc

# A class that the engine makes at run time and that is no `Exception`.
PANIC = "PanicException"


class Failure(Enum):
    """A kind of refusal: its gRPC status and its HTTP status."""

    BAD_INPUT = (grpc.StatusCode.INVALID_ARGUMENT, 400)
    VALIDATION = (grpc.StatusCode.INVALID_ARGUMENT, 422)
    UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, 401)
    FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, 403)
    NOT_FOUND = (grpc.StatusCode.NOT_FOUND, 404)
    STANDALONE = (grpc.StatusCode.UNIMPLEMENTED, 405)
    ALREADY_EXISTS = (grpc.StatusCode.ALREADY_EXISTS, 409)
    RATE_LIMIT = (grpc.StatusCode.RESOURCE_EXHAUSTED, 429)
    INTERNAL = (grpc.StatusCode.INTERNAL, 500)
    NOT_BUILT = (grpc.StatusCode.UNIMPLEMENTED, 501)

    @property
    def grpc_code(self) -> grpc.StatusCode:
        return self.value[0]

    @property
    def http_status(self) -> int:
        return self.value[1]


class ApiError(Exception):
    """A request that is answered with an error; the wires word some of them differently."""

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        rest_message: str | None = None,
        grpc_code: grpc.StatusCode | None = None,
        http_status: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.grpc_message = message
        self.rest_message = message if rest_message is None else rest_message
        self.grpc_code = grpc_code or failure.grpc_code
        self.http_status = http_status or failure.http_status
        self.retry_after_s = retry_after_s


def invalid(grpc_path: str, rest_path: str, text: str) -> ApiError:
    """A value that breaks a rule of the request's schema; each wire names it by its own path."""
    return ApiError(
        Failure.VALIDATION,
        f"Validation error in body: [{grpc_path}: {text}]",
        rest_message=f"Validation error in JSON body: [{rest_path}: {text}]",
    )


def bad_input(text: str) -> ApiError:
    return ApiError(Failure.BAD_INPUT, f"Wrong input: {text}")


def bad_request(text: str) -> ApiError:
    return ApiError(Failure.BAD_INPUT, f"Bad request: {text}")


def bad_body(text: str) -> ApiError:
    """JSON that does not fit; only REST has such requests."""
    return ApiError(Failure.BAD_INPUT, f"Format error in JSON body: {text}")


def not_built(what: str) -> ApiError:
    return ApiError(Failure.NOT_BUILT, f"The loopback server has no {what}")


def missing_collection(name: str) -> ApiError:
    return ApiError(Failure.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")


def unknown_vector(name: str) -> ApiError:
    return bad_input(f"Not existing vector name error: {name}")


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the engine's errors into the server's: it raises bare `Exception`, so its text decides.

    Errors of this server's own code pass through; they are faults, not refusals.
    """
    try:
        yield
    except BaseException as error:
        if not is_engines(error):
            raise
        raise from_engine(str(error)) from error


def is_engines(error: BaseException) -> bool:
    """Whether the engine raised it: a refusal, an argument that it does not take, or a panic."""
    if type(error) in (Exception, ValueError, OverflowError) or type(error).__name__ == PANIC:
        return True
    return type(error) is TypeError and str(error).startswith("failed to extract")


def from_engine(text: str) -> ApiError:
    """The server's answer for an error text of the engine."""
    if re.match(r"No point with id ", text):
        return ApiError(Failure.NOT_FOUND, f"Not found: {text} found")
    if path := re.match(r"invalid JSON path ?(.*)", text):
        message = f"Invalid json path: '{path[1]}'"
        return ApiError(Failure.BAD_INPUT, message, rest_message=f"Format error in JSON body: {message}")
    if text.startswith(("Service runtime error", "assertion ")):
        return ApiError(Failure.INTERNAL, text)
    return bad_input(text.partition("\n")[0])


def missing_field(name: str) -> ApiError:
    return bad_body(f"missing field `{name}`")
