"""What a user asks for, as pydantic models: a migration file and the command line's flags give the same ones.

Secrets are named by reference and resolved where a store is opened; they are never part of a model's dump.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vecferry import address, rule_sets
from vecferry.address import Address
from vecferry.errors import BadOption, NotFound
from vecferry.model import Metric

__all__ = [
    "Approve",
    "MigrationConfig",
    "SecretRef",
    "Selection",
    "StoreConfig",
    "home",
    "make_selection",
    "read_file",
]

Approve = Literal["ask", "auto"]
_Model = TypeVar("_Model", bound=BaseModel)


def home() -> Path:
    """The folder for the ledger and archives that no option places elsewhere: `VECFERRY_HOME` or `~/.vecferry`."""
    return Path(os.environ.get("VECFERRY_HOME") or Path.home() / ".vecferry")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretRef(_Strict):
    """Where a secret is found: exactly one of an environment variable or a file (whose last newline is cut)."""

    env: str | None = None
    file: Path | None = None

    def resolve(self) -> str:
        """The secret itself. Raises BadOption when it is not there."""
        if self.env is not None:
            value = os.environ.get(self.env)
            if value is None:
                raise BadOption(f"the environment variable {self.env} is not set", advice=f"export {self.env}=...")
            return value
        if self.file is None:
            raise BadOption("a secret names neither env nor file", advice="write {env: NAME} or {file: PATH}")
        try:
            return self.file.read_text().rstrip("\n")
        except OSError as error:
            raise BadOption(f"the secret's file {self.file} cannot be read: {error.strerror}") from error


def _from_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class StoreConfig(_Strict):
    """A collection's place: a URL and, by reference, what opens it. A plain text is taken as the URL.

    `trust_local_files`: its files may be opened although they could run a program (pickles).
    """

    url: str
    api_key: SecretRef | None = None
    token: SecretRef | None = None
    basic: SecretRef | None = None
    trust_local_files: bool = False

    def address(self) -> Address:
        """The parsed URL with its secrets resolved."""
        named = {"api_key": self.api_key, "token": self.token, "basic": self.basic}
        found = address.parse(self.url, {name: ref.resolve() for name, ref in named.items() if ref is not None})
        return replace(found, trusted=self.trust_local_files)

    def public(self) -> Address:
        """The parsed URL without secrets, for messages and comparisons."""
        return address.parse(self.url)


StoreField = Annotated[StoreConfig, BeforeValidator(_from_url)]


class MigrationConfig(_Strict):
    """One migration of one collection.

    `archive` is the folder that holds the Parquet archive (default: below `VECFERRY_HOME`).
    `route` is the logical name that applications ask for (default: the source collection's name).
    `limit` moves only the first rows, as a trial that is never switched.
    `backup` copies a source made of files before anything moves.
    `consent` lists, by their names in the plan, the losses that are agreed to.
    `trust_local_files` says so of the source (see `StoreConfig`).
    `profile` names the rule set that the target is held to (`rule_sets`); `none` turns off that of its host.
    """

    source: StoreField
    target: StoreField
    archive: Path | None = None
    route: str | None = None
    document_field: str = "text"
    id_field: str = "vecferry_id"
    side_field: str = "vecferry_payload"
    metric: Metric | None = None
    consent: frozenset[str] = frozenset()
    profile: str | None = None
    backup: bool = True
    limit: int | None = Field(default=None, ge=1)
    slice_rows: int = Field(default=100_000, ge=1)
    batch_rows: int = Field(default=1000, ge=1, le=100_000)
    workers: int = Field(default=2, ge=1, le=64)
    max_rows_per_s: float | None = Field(default=None, gt=0)
    retry_budget_s: float = Field(default=120.0, ge=0)
    approve: Approve = "ask"
    approve_timeout_s: float = Field(default=24 * 3600.0, gt=0)
    trust_local_files: bool = False

    @model_validator(mode="before")
    @classmethod
    def _trust_the_source(cls, content: Any) -> Any:
        """What is said of the whole is said of the source."""
        if not isinstance(content, dict) or not content.get("trust_local_files"):
            return content
        source = _from_url(content.get("source"))
        trusted = {**source, "trust_local_files": True} if isinstance(source, dict) else source
        return content | {"source": trusted}


class Selection(_Strict):
    """Which collections of a store are meant, and what each is called in the target.

    `collections` and `exclude` are shell patterns on names. In `target_name`, as in the target's options, the route and
    the archive's folder, `{name}`, `{tenant}` and `{database}` stand for those of the old collection.
    """

    collections: tuple[str, ...] = Field(default=("*",), min_length=1)
    exclude: tuple[str, ...] = ()
    target_name: str = Field(default="{name}", min_length=1)


def read_file(path: Path) -> dict[str, Any]:
    """What a migration file (YAML or JSON) holds, unchecked. Raises NotFound or BadOption."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise NotFound(f"the migration file {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BadOption(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadOption(f"{path} holds no migration", advice="start with `source:` and `target:`")
    return content


def make_config(content: dict[str, Any], where: str = "the options") -> MigrationConfig:
    """A checked configuration. Raises BadOption that names the first wrong field, or a profile that does not fit."""
    config = _checked(MigrationConfig, content, where)
    if config.profile is not None:
        rule_sets.chosen(config.profile, config.target.public())
    return config


def make_selection(content: dict[str, Any], where: str = "the options") -> Selection:
    """A checked selection of collections. Raises BadOption that names the first wrong field."""
    return _checked(Selection, content, where)


def _checked(model: type[_Model], content: dict[str, Any], where: str) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise BadOption(
            f"{where}: {field}: {first['msg']}", advice="`vecferry migrate --help` lists the options"
        ) from error
