"""What Chroma says when it will not, as vecferry's errors: one table for the server and the engine in this process."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import httpx
import orjson
from chromadb.errors import ChromaError

from vecferry.errors import BadRecord, NotFound, RetryLater, StoreRefused, TargetNotEmpty, VecferryError

__all__ = ["LostVector", "failure", "response_check", "translated"]

_PASSING = frozenset({408, 425, 429})
_KEY_ADVICE = "check the key (--source-key-env, --target-key-env, or token: in the migration file) and ?auth="
_TLS_ADVICE = "chroma:// is plain, chromas:// is TLS; ?ca=FILE.pem names the authority of a certificate of one's own"
_FULL = re.compile("database or disk is full|No space left", re.IGNORECASE)
_DEAD = "Error sending message to compactor"
_LOST = "Error finding id"
_UNTRUSTED = re.compile("CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|RECORD_LAYER", re.IGNORECASE)
_SHOWN_CHARACTERS = 300


class LostVector(BadRecord):
    """A page holds at least one record whose vector the index has lost: Chroma gives no vector of that page."""


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Errors of the client and its transport as vecferry's; what `response_check` raised passes through."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise RetryLater(f"{url} did not answer in time", advice="a longer time: ?timeout_s=600") from error
    except httpx.TransportError as error:
        raise _unreachable(url, str(error) or type(error).__name__) from error
    except orjson.JSONDecodeError as error:
        raise StoreRefused(f"{url} answers, but not as Chroma does", advice="check the host and the port") from error
    except ChromaError as error:
        raise failure(url, error.code(), error.message()) from error


def response_check(url: str) -> Callable[[httpx.Response], None]:
    """A hook for the client's HTTP session: raises vecferry's error for an answer that is none."""

    def check(response: httpx.Response) -> None:
        if not response.is_success:
            response.read()
            raise failure(url, response.status_code, _message(response))

    return check


def failure(url: str, status: int, text: str) -> VecferryError:
    """The error of an HTTP status; the client's own errors carry one too."""
    shown = text[:_SHOWN_CHARACTERS]
    if _LOST in text:
        return LostVector(f"{url} has lost a vector: {shown}", advice="rebuild the index, or delete the record")
    if _FULL.search(text):
        return StoreRefused(f"{url} has no space left: {shown}", advice="make room on the disk of the store")
    if _DEAD in text:
        return StoreRefused(f"{url}: Chroma's engine has died: {shown}", advice="start again: `vecferry resume ID`")
    if status == 409 or "already exists" in text:
        return TargetNotEmpty(f"{url} exists: {shown}", advice="choose another collection name")
    if status in (401, 403):
        return StoreRefused(f"{url} refused the access: {shown}", advice=_KEY_ADVICE)
    if status == 404 or "does not exist" in text:
        return NotFound(f"{url}: {shown or 'not found'}", advice="check the tenant, the database and the collection")
    if status in _PASSING or status >= 500:
        return RetryLater(f"{url}: HTTP {status}: {shown}", advice="it may pass; `vecferry resume ID` goes on")
    return StoreRefused(f"{url} refused the request (HTTP {status}): {shown}")


def _message(response: httpx.Response) -> str:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text
    return str(body.get("message", response.text)) if isinstance(body, dict) else response.text


def _unreachable(url: str, text: str) -> VecferryError:
    if _UNTRUSTED.search(text):
        return StoreRefused(f"{url}: no trusted TLS connection: {text}", advice=_TLS_ADVICE)
    return RetryLater(f"{url} does not answer: {text}", advice="start the server, or check the host and the port")
