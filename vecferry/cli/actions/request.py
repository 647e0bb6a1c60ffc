"""From flags, or a migration file with flags on top, to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecferry.config import (
    MigrationConfig,
    Selection,
    StoreConfig,
    make_config,
    make_selection,
    read_file,
)
from vecferry.errors import BadOption
from vecferry.operations.many import Request

__all__ = ["many", "migration", "store", "strategy"]

_STRATEGIES = ("blue-green", "rolling", "snapshot-restore")
_ROLLING = ("by", "ranges", "first", "wave", "approve_by", "moved")

_SECRETS = {"api_key": "key_env", "token": "token_env", "basic": "basic_env"}


def migration(options: Mapping[str, Any], **more: Any) -> MigrationConfig:
    """The configuration of one migration: `more` before `options` before the file that `options` may name.

    Raises BadOption, naming what is missing or wrong.
    """
    path = options.get("config")
    return _configured({**options, **more}, None if path is None else read_file(path))


def strategy(options: Mapping[str, Any]) -> str:
    """The strategy that an option, or else the migration file, names. Raises BadOption for one that there is not."""
    path = options.get("config")
    content = {} if path is None else read_file(path)
    named = str(options.get("strategy") or content.get("strategy") or _STRATEGIES[0])
    if named not in _STRATEGIES:
        raise BadOption(f"there is no strategy {named!r}", advice=f"--strategy {' or '.join(_STRATEGIES)}")
    return named


def many(options: Mapping[str, Any], named: str, **more: Any) -> Request | None:
    """What is asked for of many collections; None where one is meant. Raises BadOption as `migration` does."""
    path = options.get("config")
    content = {} if path is None else read_file(path)
    meant = _selected(content, options)
    if meant is None:
        return None
    kept = {name: value for name, value in content.items() if name not in Selection.model_fields}
    given = {name: value for name, value in options.items() if name not in {*Selection.model_fields, "all_collections"}}
    return Request(_configured({**given, **more}, kept if path else None), meant, named)


def _selected(content: Mapping[str, Any], options: Mapping[str, Any]) -> Selection | None:
    meant = {name: given[name] for given in (content, options) for name in Selection.model_fields if name in given}
    if options.get("all_collections"):
        if "collections" in options:
            raise BadOption("--all and --collections are both given", advice="give one of them")
        meant["collections"] = ["*"]
    if "collections" in meant:
        return make_selection(meant)
    if meant:
        option = next(iter(meant)).replace("_", "-")
        raise BadOption(f"--{option} is for many collections", advice="add --all or --collections PATTERN")
    return None


def _configured(found: dict[str, Any], content: dict[str, Any] | None) -> MigrationConfig:
    """`found` on top of a file's `content`, where there is a file."""
    path = found.pop("config", None)
    found.pop("strategy", None)
    if found.pop("no_backup", False):
        found["backup"] = False
    for side in ("source", "target"):
        _gather(found, side)
    _gather_rolling(found, content or {})
    if content is not None:
        written = {name: value for name, value in content.items() if name != "strategy"}
        return make_config(written | found, where=str(path))
    missing = [f"--{side}" for side in ("source", "target") if side not in found]
    if missing:
        raise BadOption(f"{' and '.join(missing)} missing", advice="name both stores, or a file with --config")
    return make_config(found)


def store(options: Mapping[str, Any], side: str) -> StoreConfig:
    """One side alone."""
    found = dict(options)
    _gather(found, side)
    return StoreConfig.model_validate(found[side])


def _gather_rolling(found: dict[str, Any], content: Mapping[str, Any]) -> None:
    """The options of a rolling migration become one part of the configuration, on top of what the file says."""
    options = {name: found.pop(name) for name in _ROLLING if name in found}
    if "ranges" in options:
        field, sign, borders = str(options["ranges"]).rpartition("=")
        if not sign or not field or "by" in options:
            raise BadOption("--ranges is FIELD=BORDER,BORDER,... and names the field itself", advice="leave --by out")
        options |= {"by": field, "ranges": [border.strip() for border in borders.split(",")]}
    if options:
        found["rolling"] = {**(content.get("rolling") or {}), **options}


def _gather(found: dict[str, Any], side: str) -> None:
    """`--source URL` and the names of its secrets become one store."""
    secrets = {
        name: {"env": found.pop(f"{side}_{option}")} for name, option in _SECRETS.items() if f"{side}_{option}" in found
    }
    if isinstance(found.get(side), str):
        found[side] = {"url": found[side], **secrets}
    elif secrets:
        raise BadOption(
            f"a secret is named for the {side}, and no --{side}",
            advice=f"give --{side} as well, or name the secret in the file: api_key: {{env: NAME}}",
        )
