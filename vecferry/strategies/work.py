"""A migration opened by one step: its ledger entry, configuration, plan, archive and stores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vecferry import plain
from vecferry.archive import Archive, Changes
from vecferry.config import MigrationConfig, Rolling, home, make_config
from vecferry.contract import Reader, Source, Target
from vecferry.ledger import Ledger, Migration, Pause, Route, SliceRow, State, migration_resource
from vecferry.model import CollectionSchema, JsonObject, Receipt
from vecferry.routing import aliases
from vecferry.strategies.runner import Ref
from vecferry.strategies.scope import Scope, scope_of
from vecferry.transfer import halt, handles, pace, progress
from vecferry.transfer.backup import backup_folder
from vecferry.transfer.limits import Limits
from vecferry.transfer.originals import in_original_terms
from vecferry.transfer.plan import Plan
from vecferry.transfer.ruled import under_rules

__all__ = ["SWITCHING", "Work", "open_work"]

SWITCHING = frozenset({"blue-green", "snapshot-restore", "rolling"})
"""Strategies that end with a switch of a route."""


class Work:
    """What a step works on. Cheap to open: stores are opened on first use and shared by the process."""

    def __init__(self, ref: Ref, ledger: Ledger) -> None:
        self.ref, self.ledger = ref, ledger
        self.migration: Migration = ledger.migration(ref.migration)
        self.config: MigrationConfig = make_config(dict(self.migration.config), where=f"migration {ref.migration}")

    @functools.cached_property
    def plan(self) -> Plan:
        """The stored plan."""
        slices = tuple(row.slice for row in self.ledger.slices(self.ref.migration))
        return Plan.from_json(self.ledger.plan(self.ref.migration), slices)

    @property
    def target_schema(self) -> CollectionSchema:
        """The planned schema under the target's own name."""
        return replace(self.plan.mapping.target_schema, name=self.config.target.public().name)

    @functools.cached_property
    def scope(self) -> Scope | None:
        """The workspace that this migration moves; None where it moves the whole collection."""
        return scope_of(self.ledger, self.migration)

    @property
    def rolling(self) -> Rolling:
        """How the collection is divided where it moves workspace by workspace."""
        return self.config.rolling or Rolling()

    @property
    def switches(self) -> bool:
        """Whether this migration ends with a switch of its route."""
        return self.migration.strategy in SWITCHING and self.config.limit is None

    @property
    def workspace(self) -> str | None:
        """The key of the workspace that this migration moves; None where it moves the whole collection."""
        return self.migration.workspace

    @property
    def owner(self) -> str:
        """The migration that has the route, and whose mark the target bears."""
        return self.migration.owner

    @property
    def subject(self) -> str:
        """Whose writes pause and whose route moves, in words."""
        of = "" if self.workspace is None else f" for workspace {self.workspace}"
        return f"{self.migration.route!r}{of}"

    @property
    def loads(self) -> bool:
        """Whether records are written into a target; an export or a backup ends with the archive."""
        return self.migration.strategy not in ("export", "backup")

    @property
    def archive_folder(self) -> Path:
        """The folder that holds the archive; one of its own below `VECFERRY_HOME` where no option names one."""
        folder = self.whole_folder
        return folder if self.scope is None else folder / "workspaces" / f"{self.scope.number:04d}"

    @property
    def whole_folder(self) -> Path:
        """The folder of the whole collection's archive; those of its workspaces are below it."""
        return (self.config.archive or home() / "archives" / self.owner).absolute()

    @functools.cached_property
    def archive(self) -> Archive:
        """The collection's archive, which `decide` created."""
        return Archive.open(self.archive_folder, self.plan.schema.name)

    @property
    def backup_folder(self) -> Path:
        """Where the copies of a source made of files go."""
        return backup_folder(self.archive_folder, self.plan.schema.name)

    def slices(self) -> list[SliceRow]:
        """All slices with what is done of them."""
        return self.ledger.slices(self.ref.migration)

    def slice(self, number: int) -> SliceRow:
        """One slice."""
        return next(row for row in self.slices() if row.slice.number == number)

    def slice_numbers(self) -> list[int]:
        """The numbers of all slices."""
        return [row.slice.number for row in self.slices()]

    def has_deltas(self) -> bool:
        """Whether anything was carried over since the copy."""
        return bool(self.ledger.deltas(self.ref.migration))

    def commit_manifest(self, *, verified: bool = False) -> None:
        """Write the archive's next manifest: all parts, and after the verdict the hashes of what was read back."""
        rows = self.slices()
        hashes = [plain.from_plain(Receipt, row.verified["hashes"]) for row in rows if verified and row.verified]
        self.archive.commit(
            Changes(
                schema=self.plan.schema,
                mapping=self.plan.mapping.to_json(),
                fingerprint=self.plan.fingerprint,
                parts=tuple(row.copied for row in rows if row.copied is not None),
                hashes=tuple(hashes),
                complete=True,
                more={"migration": self.ref.migration, "source_url": self.migration.source_url},
            )
        )

    def route(self) -> Route:
        """The logical name's entry, or that of the workspace; the old store serves it until a switch."""
        if self.scope is not None:
            found = self.ledger.route(self.migration.route, self.workspace)
            assert found is not None, "the parent claimed it before it had workspaces"
            return found
        name, url = self.migration.route, str(self.config.source.public())
        return self.ledger.claim_route(name, url, migration_id=self.ref.migration, token=self.ref.token or None)

    def move(self, from_: State, to: State, *, event: str, detail: JsonObject | None = None) -> None:
        """Move the state on from `from_`; nothing happens when it is elsewhere (an earlier run moved it)."""
        if self.ledger.migration(self.ref.migration).state is from_:
            self.ledger.transition(self.ref.migration, [from_], to, event=event, detail=detail, token=self.ref.token)

    def pause(self) -> Pause | None:
        """The last pause of the writes, whether it holds or not."""
        return self.ledger.pause(self.migration.route, self.workspace)

    def require_pause(self, token: int, needs_s: float = 0.0) -> Pause:
        """The pause of this token, if it holds for `needs_s` seconds yet. Raises UnsafeRoute."""
        return self.ledger.require_pause(self.migration.route, token, workspace=self.workspace, needs_s=needs_s)

    def alias_plan(self) -> aliases.AliasPlan:
        """Which aliases of the engine follow the route. Asks no server."""
        config = self.config
        if self.scope is not None and not self.scope.is_default:
            says = "applications learn of it from `vecferry route`: an alias serves a whole collection, not a workspace"
            return aliases.AliasPlan(self.migration.route, False, says)
        return aliases.plan(config.source.address(), config.target.address(), self.migration.route, config.reads_alias)

    @property
    def in_two_steps(self) -> bool:
        """Whether reads switch before the writes do."""
        return self.config.cutover == "two-step"

    @property
    def is_read_from(self) -> bool:
        """Whether the application may read from the new store while it writes to the old one."""
        route = self.ledger.route(self.migration.route, self.workspace)
        return self.migration.state is State.READS_NEW or (route is not None and route.reads_url is not None)

    def source(self) -> Source:
        """The source in original terms: encodings of an earlier migration are undone."""
        whole = in_original_terms(handles.source(self.config.source.address()))
        return whole if self.scope is None else self.scope.source(whole)

    def target(self) -> Target:
        """The target for writing, held to its rule set."""
        return self._scoped(under_rules(handles.target(self.config.target.address()), self.config))

    def reader(self) -> Target:
        """The target for reading back: opened apart from the writer, by the public path."""
        return self._scoped(under_rules(handles.target(self.config.target.address(), Reader.PUBLIC), self.config))

    def _scoped(self, whole: Target) -> Target:
        return whole if self.scope is None else self.scope.target(whole, self.plan.mapping)

    def release(self) -> None:
        """Close this process's handles of source and target."""
        handles.release(self.config.source.address(), self.config.target.address())

    def limits(self, phase: str) -> Limits:
        """What bounds this run's transfers; moved rows count towards `phase`."""
        config, name = self.config, self.ref.migration
        return Limits(
            config.batch_rows,
            config.retry_budget_s,
            pace.pace_of(name, config.max_rows_per_s),
            self.check,
            functools.partial(progress.advance, name, phase),
        )

    def check(self) -> None:
        """Raise Stopped when this run was halted, LeaseLost when another one has taken over."""
        halt.check(self.ref.ledger, self.ref.token)
        self.ledger.check(self.ref.token, migration_resource(self.ref.migration))

    def resources(self) -> tuple[str, ...]:
        """What one run may have to itself: the migration, and the collection that it writes."""
        return (migration_resource(self.ref.migration), f"target:{self.config.target.public()}")

    def fact(self, key: str) -> JsonObject | None:
        """What a phase left in the ledger."""
        return self.ledger.fact(self.ref.migration, key)

    def once(self, key: str, make: Callable[[], dict[str, Any]]) -> JsonObject:
        """The fact `key`; made now and stored if no run has made it."""
        known = self.fact(key)
        if known is None:
            known = make()
            self.ledger.set_fact(self.ref.migration, key, known, self.ref.token)
        return known


def open_work(ref: Ref) -> Work:
    """Open a migration. Raises NotFound."""
    return Work(ref, Ledger.open(ref.ledger))
