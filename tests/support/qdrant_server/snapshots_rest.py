"""The REST paths of snapshots: files come and go in them, so they are not among the JSON routes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from qdrant_client.http import models as m

from .errors import bad_body
from .rest_bodies import decoded, model
from .snapshots import Recovery, Snapshots

PATH = re.compile("/collections/(?P<name>[^/]+)/(?:snapshots(?:/(?P<part>[^/]+))?|(?P<cluster>cluster))")
Sent = tuple[HTTPStatus, bytes]


@dataclass(frozen=True)
class Asked:
    """A request for snapshots, taken apart."""

    name: str
    part: str
    query: Mapping[str, str]
    kind: str
    body: bytes


def create(snapshots: Snapshots, asked: Asked) -> Any:
    return snapshots.make(asked.name)


def listing(snapshots: Snapshots, asked: Asked) -> Any:
    return snapshots.list(asked.name)


def shards(snapshots: Snapshots, asked: Asked) -> Any:
    return snapshots.shards(asked.name)


def delete(snapshots: Snapshots, asked: Asked) -> Any:
    return snapshots.delete(asked.name, asked.part)


def download(snapshots: Snapshots, asked: Asked) -> bytes:
    return snapshots.find(asked.name, asked.part).read_bytes()


def recover(snapshots: Snapshots, asked: Asked) -> Any:
    wish = model(m.SnapshotRecover, decoded(asked.body))
    priority = None if wish.priority is None else wish.priority.value
    recovery = Recovery(asked.name, priority, wish.checksum)
    return snapshots.recover_from_url(asked.name, wish.location, wish.api_key, recovery)


def upload(snapshots: Snapshots, asked: Asked) -> Any:
    recovery = Recovery(asked.name, asked.query.get("priority"), asked.query.get("checksum"))
    return snapshots.recover_from_upload(asked.name, uploaded(asked), recovery)


def uploaded(asked: Asked) -> bytes:
    """The one file of a form."""
    head = f"Content-Type: {asked.kind}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + asked.body)
    for part in form.iter_parts() if form.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "snapshot":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            return content
    raise bad_body("Field `snapshot` is required")


# verb, whether a part follows, the part where it is a fixed one; name in the request log, what answers
ROUTES: list[tuple[str, str | None, str, Callable[[Snapshots, Asked], Any]]] = [
    ("POST", None, "create_snapshot", create),
    ("GET", None, "list_snapshots", listing),
    ("PUT", "recover", "recover_snapshot", recover),
    ("POST", "upload", "upload_snapshot", upload),
    ("GET", "*", "download_snapshot", download),
    ("DELETE", "*", "delete_snapshot", delete),
]


def route(verb: str, path: str) -> tuple[str, Callable[[Snapshots, Asked], Any], str, str] | None:
    """The name in the log, what answers, the collection and the part; nothing for other paths."""
    found = PATH.fullmatch(path)
    if found is None:
        return None
    name, part = unquote(found["name"]), found["part"]
    if found["cluster"]:
        return ("cluster_info", shards, name, "") if verb == "GET" else None
    for wanted, fixed, method, answer in ROUTES:
        if verb == wanted and (fixed == part or (fixed == "*" and part is not None)):
            return method, answer, name, unquote(part or "")
    return None


def asked_for(name: str, part: str, query: str, kind: str, body: bytes) -> Asked:
    return Asked(name, part, {key: values[0] for key, values in parse_qs(query).items()}, kind, body)
