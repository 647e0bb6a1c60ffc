"""What Milvus says when it will not, as vecferry's errors: one table for the wire and one for its official client.

A server answers most refusals with a status inside of a good answer, some as errors of gRPC itself (UNIMPLEMENTED,
RESOURCE_EXHAUSTED, a wrong token); milvus-lite uses numbers of its own among the statuses.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import grpc
from pymilvus.exceptions import MilvusException

from vecferry.errors import NotFound, RetryLater, StoreRefused, TargetNotEmpty, VecferryError

__all__ = [
    "Busy",
    "NoRight",
    "NoSuchCall",
    "NotLoaded",
    "TooLarge",
    "grpc_failure",
    "public_errors",
    "status_failure",
    "wire_errors",
]

_PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "INTERNAL", "UNKNOWN"})
_KEY = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
# Milvus: merr of 2.3 and later; the second numbers are those of the older field `error_code`.
_NOT_FOUND, _OLD_NOT_FOUND = frozenset({100, 800, 1600}), frozenset({4, 28})
_NOT_LOADED = frozenset({101, 103})
_RATE_LIMIT, _OLD_RATE_LIMIT = frozenset({8}), frozenset({49})
_KEY_STATUS, _OLD_KEY_STATUS = frozenset({1400, 1401}), frozenset({3})
_CONNECT_FAILED = 2  # of the official client: it says the same of a dead server and of a wrong token
_GONE = re.compile("(collection|database|alias) .*(not found|does not exist)|can't find collection", re.IGNORECASE)
_THERE = re.compile("already exist|duplicate collection", re.IGNORECASE)
_REFUSED_KEY = re.compile("auth check failure|unauthenticated", re.IGNORECASE)
_NO_RIGHT = re.compile("permission den(y|ied)", re.IGNORECASE)
_FULL = re.compile("No space left|disk quota", re.IGNORECASE)
_LARGE = re.compile("message larger than max|maxOutputSize|exceed.*max.*message", re.IGNORECASE)
_GAVE_UP = re.compile("Retry timeout|Retry run out", re.IGNORECASE)
_UNTRUSTED = re.compile("CERTIFICATE_VERIFY_FAILED", re.IGNORECASE)
_CA_ADVICE = "name the file of the authority that signed it: ?ca=/etc/ssl/my-ca.pem"
_PASSING_ADVICE = "it may pass; `vecferry resume ID` goes on"
_KEY_ADVICE = "check the token (--source-token-env, --target-token-env): `user:password` or a Zilliz API key"
_RIGHT_ADVICE = "give the user of this token the right that is named; docs/stores/milvus.md lists what is needed"
_BOTH_ADVICE = "start the server, or check the host and the port; behind a proxy a wrong token looks the same"


class Busy(RetryLater):
    """A limit of calls or of memory, which a server lifts by itself."""


class NoRight(StoreRefused):
    """The token is right, and its user may not do this."""


class TooLarge(StoreRefused):
    """An answer would be larger than the server sends: fewer records at once may fit."""


class NoSuchCall(StoreRefused):
    """The server has no such call: an older one, or something else than Milvus."""


class NotLoaded(StoreRefused):
    """Milvus reads nothing of a collection that is not loaded into memory."""


@contextlib.contextmanager
def wire_errors(url: str) -> Iterator[None]:
    """Errors of gRPC itself as vecferry's."""
    try:
        yield
    except grpc.RpcError as error:
        raise grpc_failure(url, error.code().name, error.details() or "") from error


@contextlib.contextmanager
def public_errors(url: str) -> Iterator[None]:
    """Errors of the official client, and those of gRPC that it lets through, as vecferry's.

    Of a JSON field with texts milvus-lite gives what its client cannot parse; the client lets that through as well.
    """
    try:
        with wire_errors(url):
            yield
    except ValueError as error:
        raise StoreRefused(f"{url}: the official client cannot take this: {error}") from error
    except MilvusException as error:
        raise _public_failure(url, error) from error


def grpc_failure(url: str, code: str, details: str) -> VecferryError:
    """The error of a gRPC status: `code` is its name. INTERNAL may pass, as a 5xx may."""
    if code == "RESOURCE_EXHAUSTED":
        return _too_large(url, details) if _LARGE.search(details) else _passing(url, "resource exhausted", details)
    if _UNTRUSTED.search(details):
        return StoreRefused(f"the certificate of {url} is not trusted: {details}", advice=_CA_ADVICE)
    if code == "UNAVAILABLE":
        return RetryLater(f"{url} does not answer: {details}", advice=_BOTH_ADVICE)
    if code == "DEADLINE_EXCEEDED":
        return RetryLater(f"{url} did not answer in time", advice="a longer time: ?timeout_s=600")
    if _NO_RIGHT.search(details):
        return _no_right(url, details)
    if code in _KEY:
        return StoreRefused(f"{url} refused the access: {details}", advice=_KEY_ADVICE)
    if code in _PASSING:
        return _passing(url, code.lower().replace("_", " "), details)
    if code == "UNIMPLEMENTED":
        return NoSuchCall(f"{url} cannot do this: {details}", advice="is it the gRPC port (19530) of Milvus?")
    return StoreRefused(f"{url} refused the request: {details}")


def status_failure(url: str, status: Any) -> VecferryError | None:
    """The error that a status stands for, or None where it says that all went well."""
    if not status.code and not status.error_code:
        return None
    return _failure(url, status.code, status.error_code, status.reason, status.retriable)


def _failure(url: str, code: int, old_code: int, reason: str, retriable: bool) -> VecferryError:
    if code in _NOT_FOUND or old_code in _OLD_NOT_FOUND or _GONE.search(reason):
        return NotFound(f"{url}: {reason}", advice="check the database and the collection")
    if _THERE.search(reason):
        return TargetNotEmpty(f"{url} exists: {reason}", advice="choose another collection name")
    if code in _NOT_LOADED:
        return NotLoaded(f"{url} is not loaded: {reason}", advice="load the collection, or add ?load=true to the URL")
    if _NO_RIGHT.search(reason):
        return _no_right(url, reason)
    if code in _KEY_STATUS or old_code in _OLD_KEY_STATUS or _REFUSED_KEY.search(reason):
        return StoreRefused(f"{url} refused the access: {reason}", advice=_KEY_ADVICE)
    if _LARGE.search(reason):
        return _too_large(url, reason)
    if _FULL.search(reason):
        return StoreRefused(f"{url} has no space left: {reason}", advice="make room on the disk of the store")
    if retriable or code in _RATE_LIMIT or old_code in _OLD_RATE_LIMIT:
        return Busy(f"{url}: busy: {reason}", advice=_PASSING_ADVICE)
    return StoreRefused(f"{url} refused the request: {reason or code or old_code}")


def _public_failure(url: str, error: MilvusException) -> VecferryError:
    code: Any = error.code
    if isinstance(code, grpc.StatusCode):
        return grpc_failure(url, code.name, error.message)
    if code == _CONNECT_FAILED:
        return RetryLater(f"{url} does not answer, or not to this token: {error.message}", advice=_BOTH_ADVICE)
    if _GAVE_UP.search(error.message):
        return _passing(url, "busy", error.message)
    return _failure(url, int(code), int(error.compatible_code), error.message, bool(error.retriable))


def _no_right(url: str, details: str) -> NoRight:
    return NoRight(f"{url} refused the access: {details}", advice=_RIGHT_ADVICE)


def _passing(url: str, what: str, details: str) -> RetryLater:
    return RetryLater(f"{url}: {what}: {details}", advice=_PASSING_ADVICE)


def _too_large(url: str, details: str) -> TooLarge:
    return TooLarge(f"{url}: one answer is too large: {details}", advice="smaller records, or a higher limit there")
