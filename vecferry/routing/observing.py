"""What the outside says of a route, held against what the ledger says. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vecferry import address, plain
from vecferry.errors import BadOption
from vecferry.ledger import Serving
from vecferry.model import JsonObject

__all__ = ["Observation", "answered", "differences", "failed"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one place said, and when. `where`: `alias`, `file` or `hook`. None: it did not say.

    `error`: why it said nothing that can be understood; `""` where it did.
    """

    where: str
    at: datetime
    url: str | None = None
    reads_url: str | None = None
    epoch: int | None = None
    writes: str | None = None
    error: str = ""

    def to_json(self) -> JsonObject:
        """As `--json` prints it and steps hand it on."""
        content = {name: getattr(self, name) for name in self.__slots__ if name != "at"}
        found: JsonObject = plain.to_plain({**content, "at": self.at.isoformat()})
        return found


def failed(where: str, at: datetime, why: str) -> Observation:
    """A place that could not be looked at."""
    return Observation(where, at, error=why)


def answered(where: str, at: datetime, answer: Mapping[str, Any]) -> Observation:
    """What an application or a file says: `url`, `epoch`, `writes`, and `reads` where that is another URL."""
    url, reads, epoch, writes = (answer.get(name) for name in ("url", "reads", "epoch", "writes"))
    if not isinstance(url, str) or not url:
        return failed(where, at, 'it does not say its "url"')
    if writes not in ("open", "paused"):
        return failed(where, at, 'its "writes" is neither "open" nor "paused"')
    if epoch is not None and (not isinstance(epoch, int) or isinstance(epoch, bool)):
        return failed(where, at, 'its "epoch" is no whole number')
    return Observation(where, at, url, reads if isinstance(reads, str) and reads else url, epoch, writes)


def differences(serving: Serving, found: Observation, unasked: Collection[str] = ()) -> tuple[str, ...]:
    """In which points a place says something else than the ledger; what it does not say is no difference.

    `unasked` are points that do not count: `epoch`, `writes`.
    """
    if found.error:
        return (f"{found.where}: {found.error}",)
    points = (
        ("url", "serves", serving.url),
        ("reads_url", "reads from", serving.reads_url),
        ("epoch", "has epoch", serving.epoch),
        ("writes", "has writes", serving.writes),
    )
    seen = ((words, getattr(found, name), recorded) for name, words, recorded in points if name not in unasked)
    return tuple(
        f"{found.where} {words} {said}, recorded is {recorded}"
        for words, said, recorded in seen
        if said is not None and said != recorded and not _same_place(str(said), str(recorded))
    )


def _same_place(one: str, other: str) -> bool:
    """Whether two URLs are spellings of one collection's."""
    try:
        return str(address.parse(one)) == str(address.parse(other))
    except BadOption:
        return one == other
