"""What Qdrant says when it will not, as vecferry's errors: one table for gRPC, REST and the embedded engine."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vecferry.errors import NotFound, RetryLater, StoreRefused, TargetNotEmpty, VecferryError

__all__ = ["engine_failure", "grpc_failure", "rest_failure", "unreachable"]

_PASSING_CODES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"})
_KEY_CODES = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_PASSING_STATUS = frozenset({408, 425, 429})
_KEY_ADVICE = "check the key (--source-key-env, --target-key-env, or api_key in the migration file) and its rights"
# The engine raises one class for everything.
_BUSY = re.compile("WouldBlock|already locked", re.IGNORECASE)
_GONE = re.compile("Shard is not initialized|does not exist", re.IGNORECASE)
_UNTRUSTED = re.compile("CERTIFICATE_VERIFY_FAILED|certificate verify failed|unable to get local issuer", re.IGNORECASE)
_FULL = re.compile("No space left|out of disk space", re.IGNORECASE)


def grpc_failure(url: str, code: str, details: str) -> VecferryError:
    """The error of a gRPC status: `code` is its name. INTERNAL may pass, as a 5xx may."""
    if _UNTRUSTED.search(details):
        return _untrusted(url, details)
    if code in _PASSING_CODES:
        return _passing(url, code.lower().replace("_", " "), details)
    if code in _KEY_CODES:
        return StoreRefused(f"{url} refused the access: {details}", advice=_KEY_ADVICE)
    if code == "NOT_FOUND":
        return NotFound(f"{url}: {details}")
    if code == "ALREADY_EXISTS":
        return TargetNotEmpty(f"{url}: {details}", advice="choose another collection name")
    if _FULL.search(details):
        return _full(url, details)
    if code in ("INTERNAL", "UNKNOWN"):
        return _passing(url, code.lower(), details)
    return StoreRefused(f"{url} refused the request: {details}")


def rest_failure(url: str, status: int, body: str) -> VecferryError:
    """The error of an HTTP status."""
    if status in (401, 403):
        return StoreRefused(f"{url} refused the access: {body}", advice=_KEY_ADVICE)
    if status == 404:
        return NotFound(f"{url}: {body}")
    if status == 409:
        return TargetNotEmpty(f"{url}: {body}", advice="choose another collection name")
    if _FULL.search(body):
        return _full(url, body)
    if status in _PASSING_STATUS or status >= 500:
        return _passing(url, f"HTTP {status}", body)
    return StoreRefused(f"{url} refused the request: {body}")


def unreachable(url: str, tried: Iterable[str]) -> VecferryError:
    """Nothing answers: `tried` says where and what was seen there. A certificate that is not trusted does not pass."""
    seen = "; ".join(tried)
    if _UNTRUSTED.search(seen):
        return _untrusted(url, seen)
    return RetryLater(
        f"{url} does not answer: {seen}",
        advice="start the server, or name its ports: qdrant://HOST:GRPC_PORT/COLLECTION?rest_port=REST_PORT",
    )


def _untrusted(url: str, details: str) -> StoreRefused:
    return StoreRefused(
        f"the certificate of {url} is not trusted: {details}",
        advice="name the file of the authority that signed it: ?ca=/etc/ssl/my-ca.pem",
    )


def engine_failure(url: str, text: str) -> VecferryError:
    """The error of the embedded engine, which says everything in the text of a plain exception."""
    if _BUSY.search(text):
        return RetryLater(
            f"{url} is open in another process: {text}", advice="the engine takes one process a folder; close the other"
        )
    if _GONE.search(text):
        return NotFound(f"{url}: {text}")
    return _full(url, text) if _FULL.search(text) else StoreRefused(f"{url}: {text}")


def _passing(url: str, what: str, details: str) -> RetryLater:
    return RetryLater(f"{url}: {what}: {details}", advice="it may pass; `vecferry resume ID` goes on")


def _full(url: str, details: str) -> StoreRefused:
    return StoreRefused(f"{url} has no space left: {details}", advice="make room on the disk of the store")
