"""How stores, ledger, folders, hooks and drivers are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vecferry import plain
from vecferry.cli.result import Result
from vecferry.config import MigrationConfig, StoreConfig, make_config, read_file
from vecferry.operations import doctor as examining
from vecferry.operations.checkup import Checkup, failure
from vecferry.operations.migrations import logical_name
from vecferry.strategies.sheets import Sheet

__all__ = ["doctor"]

_SECRETS = {"api_key": "key_env", "token": "token_env", "basic": "basic_env"}


def doctor(
    ledger: str | None,
    urls: Sequence[str],
    secrets: Mapping[str, Any],
    config: Path | None,
    folders: Sequence[Path],
    *,
    write: bool,
) -> Result:
    """Look at everything that is named, and at ledger and drivers."""
    known = {name: {"env": secrets[option]} for name, option in _SECRETS.items() if option in secrets}
    trust = {"trust_local_files": True} if "trust_local_files" in secrets else {}
    stores = [StoreConfig.model_validate({"url": url, **known, **trust}) for url in urls]
    file = None if config is None else make_config(read_file(config), where=str(config))
    found = [examining.examine_store(store, write=write) for store in stores]
    found += [] if file is None else _of_file(file, write=write)
    found += [examining.examine_folder(folder) for folder in folders]
    found += [examining.examine_ledger(ledger), examining.examine_extras()]
    document = {"well": all(one.is_well for one in found), "checkups": [_told(one) for one in found]}
    return Result(document, tuple(map(_sheet, found)), failure(found))


def _of_file(file: MigrationConfig, *, write: bool) -> Iterator[Checkup]:
    """Both stores (only the target is ever written), archive and hooks of a migration file."""
    yield examining.examine_store(file.source, must_exist=True)
    yield examining.examine_store(file.target, write=write)
    if file.archive is not None:
        yield examining.examine_folder(file.archive)
    if file.hooks.all:
        source = file.source.public()
        yield examining.examine_hooks(file.hooks, file.route or logical_name(source), str(source))


def _told(one: Checkup) -> dict[str, Any]:
    checks = [plain.to_plain(check) for check in one.checks]
    return {"subject": one.subject, "well": one.is_well, "checks": checks, "figures": plain.to_plain(one.figures)}


def _sheet(one: Checkup) -> Sheet:
    rows = []
    for check in one.checks:
        rows.append((check.what, check.level.value, check.says))
        if check.advice:
            rows.append(("", "", f"what to do: {check.advice}"))
    title = f"{one.subject}: {'well' if one.is_well else 'not well'}"
    return Sheet("doctor", title, ("what", "how", "found"), tuple(rows))
