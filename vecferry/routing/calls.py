"""What is told to an application, what it answers, and what can be said of the call's fate. Data alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from vecferry import plain
from vecferry.model import JsonObject

__all__ = ["MAX_ANSWER_BYTES", "Action", "Call", "HookRequest", "Outcome", "Reply"]

MAX_ANSWER_BYTES = 64 << 10
"""An answer is a few fields; a longer one is none."""


class Action(StrEnum):
    """What the application is asked to do. `READS`: only the reads go elsewhere, without a pause."""

    PAUSE = "pause"
    RELEASE = "release"
    READS = "reads"
    SWITCH = "switch"
    READ_BACK = "read_back"


class Outcome(StrEnum):
    """What is known of a call.

    `REFUSED`: the application said no, or nothing reached it. `EXPIRED`: the call's token is older than one that it
    knows. `UNKNOWN`: nobody can say whether it was done; only a read-back can.
    """

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HookRequest:
    """One request to an application, the same bytes for the same intent.

    `workspace` is a group's key (None: the whole collection). `token` is the pause's, greater than all before it, 0
    where there is none. `url` takes the writes and `reads_url` the reads from now on, `previous_url` did before.
    `ttl_s`: a pause ends by itself after so many seconds.
    """

    action: Action
    migration: str
    route: str
    epoch: int
    url: str
    reads_url: str
    token: int = 0
    workspace: str | None = None
    previous_url: str | None = None
    ttl_s: float | None = None
    reason: str = ""

    def to_json(self) -> JsonObject:
        """As the ledger keeps it and the application gets it."""
        found: JsonObject = plain.to_plain(self)
        return found

    def variables(self) -> dict[str, str]:
        """The same as environment variables: `VECFERRY_ACTION` and so on; empty where there is nothing."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return {f"VECFERRY_{name.upper()}": "" if value is None else str(value) for name, value in content.items()}


@dataclass(frozen=True, slots=True)
class Call:
    """A request with the key by which an application tells a repeat from a new one."""

    request: HookRequest
    key: str

    @property
    def body(self) -> bytes:
        """JSON with sorted keys: the request and its `idempotency_key`."""
        return plain.to_json(dict(self.request.to_json()) | {"idempotency_key": self.key}).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call. `says` is for people. `sent`: something of it may have reached the application."""

    outcome: Outcome
    says: str
    answer: JsonObject
    sent: bool = True

    def to_json(self) -> JsonObject:
        """As the ledger keeps it."""
        found: JsonObject = plain.to_plain(self)
        return found
