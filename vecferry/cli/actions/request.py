"""From flags, or a migration file with flags on top, to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecferry.config import MigrationConfig, StoreConfig, load_config, make_config
from vecferry.errors import BadOption

__all__ = ["migration", "store"]

_SECRETS = {"api_key": "key_env", "token": "token_env", "basic": "basic_env"}


def migration(options: Mapping[str, Any], **more: Any) -> MigrationConfig:
    """The configuration of one migration: `more` before `options` before the file that `options` may name.

    Raises BadOption, naming what is missing or wrong.
    """
    found = {**options, **more}
    path = found.pop("config", None)
    if found.pop("no_backup", False):
        found["backup"] = False
    for side in ("source", "target"):
        _gather(found, side)
    if path is not None:
        return load_config(path, found)
    missing = [f"--{side}" for side in ("source", "target") if side not in found]
    if missing:
        raise BadOption(f"{' and '.join(missing)} missing", advice="name both stores, or a file with --config")
    return make_config(found)


def store(options: Mapping[str, Any], side: str) -> StoreConfig:
    """One side alone."""
    found = dict(options)
    _gather(found, side)
    return StoreConfig.model_validate(found[side])


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
