"""Are they reachable, healthy and allowed? Stores, ledger, folders and hooks, looked at without writing.

Only `write_check` writes: a collection of its own beside the one that is meant, which is dropped again.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from vecferry import plain
from vecferry.address import Address, above
from vecferry.capabilities import Capabilities
from vecferry.config import Hooks, StoreConfig
from vecferry.contract import Source
from vecferry.errors import MissingExtra, NotFound, VecferryError
from vecferry.ledger import LIVE, Ledger, place
from vecferry.model import ALL_PARTS, CollectionSchema
from vecferry.operations.checkup import Checkup, Findings, Level
from vecferry.operations.scratch import write_check
from vecferry.routing import hooks
from vecferry.routing.calls import Action, Call, HookRequest, Outcome
from vecferry.stores import registry
from vecferry.strategies.sheets import describe_vector

__all__ = ["examine_extras", "examine_folder", "examine_hooks", "examine_ledger", "examine_store"]

TIMEOUT_S = 10
"""A call that takes longer is no good sign, and whoever asks a doctor does not wait for two minutes."""

_CALLS = 5
_FEW_ROWS = 10
_LITTLE_ROOM_BYTES = 1 << 30


def examine_store(store: StoreConfig, *, write: bool = False, must_exist: bool = False) -> Checkup:
    """One store or collection. With `write` a scratch collection is made beside it, and dropped."""
    asked = store.public()
    findings = Findings(str(asked))
    address = findings.attempt("secrets", lambda: _hurried(store.address()))
    if address is None:
        return findings.checkup()
    findings = Findings(str(asked), str(address))
    if not _answers(findings, address):
        return findings.checkup()
    if address.host and not address.raw_path.strip("/"):
        _look_at_server(findings, address)
    else:
        _look_at_collection(findings, address, must_exist=must_exist)
    _rights_to_write(findings, address, write=write)
    return findings.checkup()


def _hurried(address: Address) -> Address:
    if not address.host or "timeout_s" in address.options:
        return address
    return replace(address, options={**address.options, "timeout_s": str(TIMEOUT_S)})


def _answers(findings: Findings, address: Address) -> bool:
    """Whether the engine is there; its version and what ails it."""
    try:
        found = registry.health(address)
    except VecferryError as error:
        findings.failed("driver" if isinstance(error, MissingExtra) else "reachable", error)
        return False
    if found is None:
        findings.add("engine", Level.WELL, "files, read by vecferry itself")
        return True
    findings.figures |= {"engine": found.engine, "version": found.version}
    findings.add("reachable" if address.host else "engine", Level.WELL, f"{found.engine} {found.version}".rstrip())
    for ailment in found.ailments:
        findings.add("healthy", Level.WRONG, ailment, "look at the engine's own log")
    for note in found.notes:
        findings.add("healthy", Level.NOTE, note)
    return True


def _look_at_server(findings: Findings, address: Address) -> None:
    listing = findings.attempt("collections", lambda: registry.list_collections(address))
    if listing is not None:
        count = len(listing.collections)
        findings.figures["collections"] = count
        findings.add("collections", Level.WELL, f"{count:,}; name one of them to look at it")


def _look_at_collection(findings: Findings, address: Address, *, must_exist: bool) -> None:
    try:
        with registry.open_source(address) as source:
            rows = _read(findings, source)
            findings.figures["rows"] = rows
            _limits(findings, source.capabilities())
            if registry.entry(address.scheme).kind:
                _latency(findings, source)
    except NotFound as error:
        if must_exist or registry.entry(address.scheme).only_read:
            findings.failed("collection", error)
        else:
            _absent(findings, address)
    except VecferryError as error:
        findings.failed("read", error)


def _read(findings: Findings, source: Source) -> int:
    """Schema, exact count and a few records: what a migration needs the right to read."""
    rows, schema = source.count(), source.describe()
    few = next(source.read(source.slices(1)[0], ALL_PARTS, _FEW_ROWS), None)
    findings.add("collection", Level.WELL, f"{rows:,} records; {_vectors(schema)}")
    findings.add("read", Level.WELL, f"{0 if few is None else few.num_rows} records were read whole")
    for note in schema.notes:
        findings.add("collection", Level.NOTE, note)
    return rows


def _vectors(schema: CollectionSchema) -> str:
    return "; ".join(f"{field.name or 'vector'}: {describe_vector(field)}" for field in schema.vectors) or "no vectors"


def _absent(findings: Findings, address: Address) -> None:
    """A collection that is not there is none that can be read, and may be a target."""
    findings.add("collection", Level.NOTE, "is not there; a migration can make it")
    try:
        with registry.open_target(address) as target:
            _limits(findings, target.capabilities())
    except VecferryError as failed:
        findings.failed("limits", failed)


def _limits(findings: Findings, found: Capabilities) -> None:
    vectors, payload = found.vectors, found.payload
    told = [
        f"ids {', '.join(sorted(found.id_kinds))}",
        f"vectors {', '.join(sorted(vectors.kinds))}" + _most(vectors.max_dimension, "dimensions"),
        f"metrics {', '.join(sorted(vectors.metrics)) or 'any'}",
        "documents" if found.document else "no documents",
        "payload" + (_most(payload.max_bytes, "bytes") or " of any size"),
        f"{found.max_batch_rows:,} records in one request",
    ]
    findings.figures["limits"] = plain.to_plain(found)
    findings.add("limits", Level.WELL, "; ".join(told))
    if found.touched_on_open:
        findings.add("limits", Level.NOTE, f"opening it changes: {found.touched_on_open}")


def _most(number: int | None, what: str) -> str:
    return "" if number is None else f" of at most {number:,} {what}"


def _latency(findings: Findings, source: Source) -> None:
    part = source.slices(1)[0]
    calls: dict[str, Callable[[], object]] = {
        "count": source.count,
        "read": lambda: next(source.read(part, ALL_PARTS, _FEW_ROWS), None),
    }
    told = []
    for name, function in calls.items():
        seconds = [_seconds(function) for _ in range(_CALLS)]
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        findings.figures[f"{name}_s"] = {"min": low, "median": middle, "max": high}
        told.append(f"{name} {middle * 1000:.1f} ms ({low * 1000:.1f} to {high * 1000:.1f})")
    findings.add("latency", Level.WELL, f"median of {_CALLS}: {', '.join(told)}")


def _seconds(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def _rights_to_write(findings: Findings, address: Address, *, write: bool) -> None:
    if registry.entry(address.scheme).only_read:
        findings.add("write", Level.NOTE, "a source only: it is never written")
    elif write:
        findings.attempt("write", lambda: write_check(findings, address))
    elif address.host:
        findings.add("write", Level.NOT_CHECKED, "--write-check makes a scratch collection and drops it")
    elif os.access(_nearest(above(address).file), os.W_OK):
        findings.add("write", Level.WELL, "the folder may be written")
    else:
        findings.add("write", Level.NOTE, "the folder may not be written: it can be a source only")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((found for found in (folder, *folder.parents) if found.exists()), Path("/"))


def examine_ledger(given: str | None) -> Checkup:
    """The ledger: there, readable, its audit trail whole. One that is not there is not made."""
    findings = Findings("ledger")
    where = findings.attempt("place", lambda: place.find(given))
    if where is None:
        return findings.checkup()
    findings = Findings(f"ledger {where}")
    if where.file is not None and not where.file.exists():
        findings.add("there", Level.NOTE, "not yet; the first migration makes it")
        return findings.checkup()
    ledger = findings.attempt("opens", lambda: Ledger.open(given))
    migrations = None if ledger is None else findings.attempt("opens", ledger.migrations)
    if ledger is None or migrations is None:
        return findings.checkup()
    live = sum(one.state in LIVE for one in migrations)
    findings.figures |= {"migrations": len(migrations), "live": live}
    findings.add("opens", Level.WELL, f"{len(migrations):,} migrations, {live:,} of them live")
    entries = findings.attempt("audit trail", ledger.verify_audit)
    if entries is not None:
        findings.add("audit trail", Level.WELL, f"{entries:,} entries, the chain is whole")
    if where.file is not None:
        _room(findings, where.file.parent)
    return findings.checkup()


def examine_folder(folder: Path) -> Checkup:
    """A folder for archives: there or to be made, writable, with room."""
    findings = Findings(f"folder {folder}")
    nearest = _nearest(folder.absolute())
    if not nearest.is_dir():
        findings.add("folder", Level.WRONG, f"{nearest} is no folder", "name another one")
        return findings.checkup()
    if not os.access(nearest, os.W_OK | os.X_OK):
        findings.add("write", Level.WRONG, f"{nearest} may not be written", "give the right, or name another folder")
    else:
        findings.add("write", Level.WELL, "may be written" if folder.is_dir() else f"can be made below {nearest}")
    _room(findings, nearest)
    return findings.checkup()


def _room(findings: Findings, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    findings.figures["free_bytes"] = free
    level = Level.NOTE if free < _LITTLE_ROOM_BYTES else Level.WELL
    findings.add("room", level, f"{free / 1e9:,.1f} GB free")


def examine_hooks(found: Hooks, route: str, url: str) -> Checkup:
    """The read-back hook, called once. Nobody is paused or switched."""
    findings = Findings("hooks")
    others = [name for name in found.all if name != Action.READ_BACK]
    if others:
        findings.add(", ".join(others), Level.NOT_CHECKED, "they are called by a switch only")
    if found.read_back is not None:
        made = HookRequest(Action.READ_BACK, "doctor", route, epoch=0, url=url, reads_url=url, reason="doctor")
        reply = hooks.call(found.read_back, Call(made, "doctor"))
        well = reply.outcome is Outcome.ACKNOWLEDGED
        says = f"it answers {plain.to_json(reply.answer)}" if well else reply.says
        findings.add(Action.READ_BACK, Level.WELL if well else Level.WRONG, says, "" if well else "mend the hook")
    return findings.checkup()


def examine_extras() -> Checkup:
    """Which drivers are installed, in which versions."""
    findings = Findings("extras")
    for extra, packages in sorted(_packages().items()):
        versions = {name: _version(name) for name in packages}
        missing = [name for name, version in versions.items() if version is None]
        findings.figures[extra] = versions
        told = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
        if missing:
            findings.add(extra, Level.NOTE, f"not installed: {', '.join(missing)}", f"pip install 'vecferry[{extra}]'")
        else:
            findings.add(extra, Level.WELL, told)
    return findings.checkup()


def _packages() -> dict[str, Sequence[str]]:
    """The packages of each extra that brings more than other extras."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("vecferry") or ():
        named = re.match(r"([A-Za-z0-9._-]+).*extra == ['\"]([a-z0-9]+)['\"]", line)
        if named and named[2] not in ("all", "dev"):
            found.setdefault(named[2], []).append(named[1])
    return dict[str, Sequence[Any]](found)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
