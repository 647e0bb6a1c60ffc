"""A file that always says what serves a route: applications that can read a file need neither hook nor ledger.

It is replaced whole: written aside, synced, renamed, its folder synced. A reader sees the old content or the new one.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from vecferry.errors import ConfigError, NotFound, Stopped, UnsafeRoute
from vecferry.ledger import Serving
from vecferry.model import JsonObject
from vecferry.routing.observing import Observation, answered, failed

__all__ = ["VERSION", "content", "observe", "read", "write"]

VERSION = 1
_NEW_FILE_MODE = 0o644


def content(serving: Serving, workspaces: Sequence[Serving] = ()) -> JsonObject:
    """What the file holds: the whole collection, and each workspace that is served apart by its key."""
    parts = {one.workspace: _entry(one) for one in workspaces if one.workspace is not None}
    whole = {"version": VERSION, "route": serving.name, "changed_at": serving.at.isoformat()}
    return whole | _entry(serving) | {"workspaces": parts}


def _entry(serving: Serving) -> dict[str, Any]:
    pause = serving.pause
    return {
        "url": serving.url,
        "reads": serving.reads_url,
        "writes": serving.writes,
        "epoch": serving.epoch,
        "ttl_s": serving.ttl_s,
        "paused_until": None if pause is None else pause.paused_until.isoformat(),
    }


def read(path: Path) -> JsonObject:
    """What the file says now. Raises NotFound, ConfigError for one that no route wrote."""
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(f"there is no route file {path}") from error
    except OSError as error:
        raise Stopped(f"the route file {path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise _foreign(path) from error
    if not isinstance(found, dict) or not _is_ours(found):
        raise _foreign(path)
    return found


def _is_ours(found: Mapping[str, Any]) -> bool:
    apart = found.get("workspaces")
    entries = [found, *(apart.values() if isinstance(apart, dict) else [None])]
    return found.get("version") == VERSION and all(
        isinstance(entry, dict) and isinstance(entry.get("epoch"), int) for entry in entries
    )


def write(path: Path, new: JsonObject) -> bool:
    """Put `new` in place of what is there; whether anything but the time changed.

    Raises UnsafeRoute if the file is another route's or of a later epoch, ConfigError if it is no route file, Stopped
    where it cannot be written. Then it is as it was.
    """
    place = path.resolve()
    try:
        old = read(place)
    except NotFound:
        old = None
    if old is not None:
        _refuse_older(path, old, new)
        if _timeless(old) == _timeless(new):
            return False
    try:
        _replace(place, orjson.dumps(new, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise Stopped(
            f"the route file {path} cannot be written: {error.strerror}",
            advice="make room, or give the right to write to its folder",
        ) from error
    return True


def observe(path: Path, at: datetime, workspace: str | None = None) -> Observation:
    """What a reader of the file learns now."""
    try:
        found = read(path)
    except (NotFound, ConfigError, Stopped) as error:
        return failed("file", at, str(error))
    return answered("file", at, found["workspaces"].get(workspace, found))


def _foreign(path: Path) -> ConfigError:
    return ConfigError(f"{path} is no route file; it is left as it is", advice="name another file: hooks.route_file")


def _refuse_older(path: Path, old: JsonObject, new: JsonObject) -> None:
    if old.get("route") != new["route"]:
        raise UnsafeRoute(
            f"the route file {path} is that of route {old.get('route')}, not of {new['route']}",
            advice="give each route a file of its own: hooks.route_file",
        )
    before, after = _epochs(old), _epochs(new)
    later = sorted(key for key, epoch in before.items() if key in after and epoch > after[key])
    if later:
        raise UnsafeRoute(
            f"the route file {path} has epoch {before[later[0]]}, the ledger {after[later[0]]}",
            advice="another run has moved on, or another ledger wrote it; if this one is right, remove the file",
        )


def _epochs(found: Mapping[str, Any]) -> dict[str, int]:
    return {"": found["epoch"], **{key: entry["epoch"] for key, entry in found["workspaces"].items()}}


def _timeless(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without the times that differ with every look."""
    parts = {key: {**entry, "ttl_s": None} for key, entry in found["workspaces"].items()}
    return {**found, "changed_at": None, "ttl_s": None, "workspaces": parts}


def _replace(place: Path, text: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    with contextlib.ExitStack() as on_error:
        on_error.callback(os.unlink, name)
        with os.fdopen(number, "wb") as file:
            # A temporary file is its owner's alone, and applications run as somebody else.
            os.fchmod(file.fileno(), _mode(place))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
        on_error.pop_all()
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _mode(place: Path) -> int:
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        return _NEW_FILE_MODE
