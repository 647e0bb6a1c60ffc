"""What a user asks for, as pydantic models: a migration file and the command line's flags give the same ones.

Secrets are named by reference and resolved where a store is opened; they are never part of a model's dump.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vecferry import address, rule_sets
from vecferry.address import Address
from vecferry.errors import BadOption, NotFound
from vecferry.model import Metric

__all__ = [
    "PLAIN_WEBHOOK_CONSENT",
    "Approve",
    "ApproveBy",
    "BlockReader",
    "CutoverSteps",
    "Hook",
    "Hooks",
    "MigrationConfig",
    "Moved",
    "OnCheckFailed",
    "Reverse",
    "Rolling",
    "SecretRef",
    "Selection",
    "StoreConfig",
    "Sync",
    "block_variable",
    "home",
    "make_selection",
    "read_blocks_with",
    "read_file",
]

Approve = Literal["ask", "auto"]
OnCheckFailed = Literal["hold", "rollback"]
CutoverSteps = Literal["one-step", "two-step"]
Reverse = Literal["follow", "hold"]
ApproveBy = Literal["each", "wave", "once"]
Moved = Literal["hold", "follow"]
PLAIN_WEBHOOK_CONSENT = "webhook_without_tls"
_WRITE_TIMEOUT_S = 30.0
_Model = TypeVar("_Model", bound=BaseModel)


def home() -> Path:
    """The folder for the ledger and archives that no option places elsewhere: `VECFERRY_HOME` or `~/.vecferry`."""
    return Path(os.environ.get("VECFERRY_HOME") or Path.home() / ".vecferry")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretRef(_Strict):
    """Where a secret is found: an environment variable, a file (whose last newline is cut) or a block of Prefect.

    `block` is like `qdrant/api_key`: the block's name and the field. Flows say how it is read (`read_blocks_with`);
    elsewhere the variable of `block_variable` stands in for it.
    """

    env: str | None = None
    file: Path | None = None
    block: str | None = Field(default=None, pattern="^[a-z0-9-]+/[a-z_]+$")

    def resolve(self) -> str:
        """The secret itself. Raises BadOption when it is not there, and what the reader of blocks raises."""
        if self.block is not None:
            return _from_block(self.block)
        if self.env is not None:
            value = os.environ.get(self.env)
            if value is None:
                raise BadOption(f"the environment variable {self.env} is not set", advice=f"export {self.env}=...")
            return value
        if self.file is None:
            raise BadOption("a secret names neither env nor file nor block", advice="write {env: NAME} or {file: PATH}")
        try:
            return self.file.read_text().rstrip("\n")
        except OSError as error:
            raise BadOption(f"the secret's file {self.file} cannot be read: {error.strerror}") from error


BlockReader = Callable[[str, str], str]
"""Given a block's name and a field of it: the secret."""

_block_readers: list[BlockReader] = []


def read_blocks_with(reader: BlockReader) -> None:
    """From now on secrets in blocks are read so: the core knows nothing of Prefect."""
    _block_readers[:] = [reader]


def block_variable(reference: str) -> str:
    """The environment variable that holds a block's secret where there is no Prefect, one for each `NAME/FIELD`."""
    # A block's name has no underscore, so no two references share a variable.
    return "VECFERRY_BLOCK_" + reference.upper().replace("-", "_").replace("/", "__")


def _from_block(reference: str) -> str:
    name, _, field = reference.partition("/")
    variable = block_variable(reference)
    if variable in os.environ:
        return os.environ[variable]
    if not _block_readers:
        raise BadOption(
            f"the secret is in Prefect's block {name!r}, which only flows read",
            advice=f"run it as a deployment, or export {variable}=...",
        )
    return _block_readers[0](name, field)


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


class Hook(_Strict):
    """One call to the application: a `command` (its words, without a shell) or a `webhook`, within `timeout_s`.

    `secret` signs what goes to a webhook. `ca`: a file of certificates to trust instead of the system's.
    """

    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    webhook: str | None = None
    secret: SecretRef | None = None
    ca: Path | None = None
    timeout_s: float = Field(default=30.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _is_one_call(self) -> Self:
        if (self.command is None) == (self.webhook is None):
            raise ValueError("a hook is either a command or a webhook")
        if self.webhook is None:
            if self.secret is not None or self.ca is not None:
                raise ValueError("secret and ca belong to a webhook; a command has its own environment")
            return self
        if self.secret is None:
            raise ValueError("a webhook needs a secret, by which the application knows who calls: {env: NAME}")
        parts = urlsplit(self.webhook)
        is_plain = re.fullmatch("[!-~]+", self.webhook) is not None and parts.port != 0
        if not is_plain or parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ValueError(f"{self.webhook!r} is no http or https URL")
        if parts.username is not None:
            raise ValueError("a webhook's URL must not hold a password, which logs would show")
        return self

    @property
    def is_exposed(self) -> bool:
        """Whether what is called travels over a network without TLS."""
        parts = urlsplit(self.webhook or "")
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")

    def placed(self) -> Self:
        """The same with every file absolute, so that it means the same from any folder."""
        words = self.command
        if words is not None and "/" in words[0]:
            words = (str(Path(words[0]).absolute()), *words[1:])
        secret = self.secret
        if secret is not None and secret.file is not None:
            secret = secret.model_copy(update={"file": secret.file.absolute()})
        ca = self.ca.absolute() if self.ca else None
        return self.model_copy(update={"command": words, "secret": secret, "ca": ca})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Hooks(_Strict):
    """How an application learns of pauses and switches, and what is known of its writes.

    `write_timeout_s`: after so long the application gives up a write, so none of before a pause is under way any more
    (not given: 30 where there is a hook that pauses or a route file; else 0, because nobody is known to wait).
    `visibility_delay_s`: so long after a write the old store may hide it from readers. `pause_ttl_s`: a pause ends by
    itself after this. `route_file`: a file that always says what serves the route, replaced atomically.
    """

    pause: Hook | None = None
    release: Hook | None = None
    switch: Hook | None = None
    read_back: Hook | None = None
    write_timeout_s: float | None = Field(default=None, ge=0, le=86_400)
    visibility_delay_s: float = Field(default=0.0, ge=0, le=86_400)
    pause_ttl_s: float = Field(default=600.0, gt=0, le=86_400)
    route_file: Path | None = None

    @property
    def drain_s(self) -> float:
        """How long after the pause the last write of before it may still appear."""
        given, told = self.write_timeout_s, self.pause is not None or self.route_file is not None
        return (given if given is not None else _WRITE_TIMEOUT_S if told else 0.0) + self.visibility_delay_s

    @property
    def all(self) -> dict[str, Hook]:
        """The hooks that there are, by name."""
        named = {"pause": self.pause, "release": self.release, "switch": self.switch, "read_back": self.read_back}
        return {name: hook for name, hook in named.items() if hook is not None}

    def placed(self) -> Self:
        """The same with every file absolute."""
        route_file = self.route_file.absolute() if self.route_file else None
        return self.model_copy(
            update={name: hook.placed() for name, hook in self.all.items()} | {"route_file": route_file}
        )

    @model_validator(mode="after")
    def _can_be_trusted(self) -> Self:
        if (self.pause is None) != (self.release is None):
            raise ValueError("pause and release come together: who is paused must be released")
        if self.switch is not None and self.read_back is None:
            raise ValueError("a switch hook needs a read_back hook, or nobody knows after a crash what it did")
        needed_s = self.drain_s + sum(hook.timeout_s for hook in (self.pause, self.switch) if hook is not None)
        if self.pause_ttl_s <= needed_s:
            raise ValueError(
                f"pause_ttl_s ({self.pause_ttl_s:g}) is over before a switch can be: write_timeout_s, "
                f"visibility_delay_s and what the hooks for pause and switch may take are {needed_s:g} s together"
            )
        return self


def _borders(value: Any) -> Any:
    """Borders as they are compared: a month is its first day, a text that is a number is one."""
    return [_border(one) for one in value] if isinstance(value, list | tuple) else value


def _border(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d{4}-\d{2}", value):
        return f"{value}-01"
    if re.fullmatch(r"-?\d+", value):
        return int(value)
    return float(value) if re.fullmatch(r"-?\d+\.\d+", value) else value


class Sync(_Strict):
    """How changes of the source are carried over after the copy.

    `max_deletes`, `max_delete_percent`, `max_changes`, `max_change_percent`: the larger of the two is carried over
    unasked, counted since a person said yes last. `memory_mb` is for comparing ids and hashes; the rest goes to the
    archive's folder. `absence_wait_s`: between the two reads that must both miss a record before it is deleted.
    `driver_timeout_s`: after so long a call that failed can take no effect any more.
    """

    max_deletes: int = Field(default=100, ge=0)
    max_delete_percent: float = Field(default=10.0, ge=0, le=100)
    max_changes: int = Field(default=1000, ge=0)
    max_change_percent: float = Field(default=50.0, ge=0, le=100)
    memory_mb: int = Field(default=1024, ge=64)
    absence_wait_s: float = Field(default=2.0, ge=0, le=3600)
    driver_timeout_s: float = Field(default=120.0, ge=0, le=3600)


class Rolling(_Strict):
    """How a collection is moved workspace by workspace.

    `by` is the payload field that says to which one a record belongs. `ranges` are borders of half-open ranges of it,
    dates (2024-07 is the first of July; without a zone in UTC) or numbers; what lies in none is the default group's.
    `first` are the keys of workspaces that go before the others, which follow from the smallest to the largest. `wave`
    is how many are filled in one go. `approve_by` says how many questions there are: one for each workspace, for each
    wave, or one for all. `moved` says what becomes of records that changed their workspace while one of the two was
    served by the new store already.
    """

    by: str = Field(default="workspace_id", min_length=1)
    ranges: Annotated[tuple[str | int | float, ...], BeforeValidator(_borders)] = ()
    first: tuple[str, ...] = ()
    wave: int = Field(default=10, ge=1, le=1000)
    approve_by: ApproveBy = "wave"
    moved: Moved = "hold"

    @model_validator(mode="after")
    def _has_two_borders(self) -> Self:
        if len(self.ranges) == 1:
            raise ValueError("ranges need two borders at least: a range ends where the next one begins")
        return self


class MigrationConfig(_Strict):
    """One migration of one collection.

    `archive` is the folder that holds the Parquet archive (default: below `VECFERRY_HOME`).
    `route` is the logical name that applications ask for (default: the source collection's name).
    `limit` moves only the first rows, as a trial that is never switched.
    `backup` copies a source made of files before anything moves.
    `consent` lists, by their names in the plan, the losses that are agreed to.
    `trust_local_files` says so of the source (see `StoreConfig`).
    `approve_valid_s` is how long a question can be answered with yes, and the yes be used. `max_final_delta` is the
    most records that a cutover may carry over under its pause. `on_check_failed` says what becomes of a switch whose
    last check fails before the writes are released: the pause is held for a person, or the route goes back.
    `cutover` says whether reads and writes switch together, or reads first. For that, `application_maps_ids` and
    `no_read_modify_write` declare what the application does, `reads_alias` names the engine's alias that it reads by;
    `min_watch_s` is how long the reads are watched at least before the writes follow.
    `reverse` says what becomes of the old store after the switch: each sync carries into it what the new store received
    (`follow`), or nothing is written to it (`hold`). Not given: it follows where it can take writes.
    `profile` names the rule set that the target is held to (`rule_sets`); `none` turns off that of its host.
    `hooks` say how the application is told, `sync` how changes are carried over after the copy, `rolling` how the
    collection is divided where it moves workspace by workspace.
    `pause_limit_s` is the longest that a snapshot-restore may pause writes. `snapshot_folder` is the folder of the
    Chroma server's data, where this machine sees it: it is copied instead of being read through the server.
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
    approve_valid_s: float = Field(default=72 * 3600.0, gt=0)
    max_final_delta: int = Field(default=10_000, ge=0)
    on_check_failed: OnCheckFailed = "hold"
    cutover: CutoverSteps = "one-step"
    reads_alias: str | None = Field(default=None, min_length=1)
    application_maps_ids: bool = False
    no_read_modify_write: bool = False
    min_watch_s: float = Field(default=0.0, ge=0, le=90 * 86_400)
    reverse: Reverse | None = None
    pause_limit_s: float = Field(default=4 * 3600.0, gt=0, le=7 * 86_400)
    snapshot_folder: Path | None = None
    trust_local_files: bool = False
    hooks: Hooks = Hooks()
    sync: Sync = Sync()
    rolling: Rolling | None = None

    @model_validator(mode="after")
    def _agrees_to_plain_webhooks(self) -> Self:
        exposed = sorted(name for name, hook in self.hooks.all.items() if hook.is_exposed)
        if exposed and PLAIN_WEBHOOK_CONSENT not in self.consent:
            raise ValueError(
                f"the hook {exposed[0]} goes over a network without TLS: use https, or agree to it by the consent "
                f"{PLAIN_WEBHOOK_CONSENT}"
            )
        return self

    @model_validator(mode="after")
    def _watches_in_two_steps(self) -> Self:
        if self.min_watch_s and self.cutover != "two-step":
            raise ValueError("min_watch_s is the time between two steps: add --cutover two-step, or leave it out")
        return self

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
            f"{where}: {field}: {first['msg'].removeprefix('Value error, ')}",
            advice="`vecferry migrate --help` lists the options",
        ) from error
