"""Routes: which collection serves a logical name now. The ledger's route is the only commit point of a switch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from vecferry import address
from vecferry.errors import PlanRefused, UnsafeRoute
from vecferry.failpoints import reached
from vecferry.ledger import audit, gates, moves, placed
from vecferry.ledger.approvals import kind_for, use
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, within
from vecferry.ledger.leases import require
from vecferry.ledger.rows import DEFAULT_WORKSPACE, Pause, Route, Serving
from vecferry.ledger.schema import routes, workspace_routes, workspaces
from vecferry.ledger.states import LIVE, State
from vecferry.model import JsonObject

__all__ = ["Routes", "claim"]


class Routes(Database):
    """Registering, asking and switching routes."""

    def route(self, name: str, workspace: str | None = None) -> Route | None:
        """The route of a logical name, or of one workspace of it (by its key).

        A workspace that was not moved apart, and one that nobody knows, is served as the whole collection is.
        """
        with self._read() as connection:
            return placed.effective(connection, name, workspace)

    def ask_route(self, name: str, workspace: str | None = None) -> Serving | None:
        """What an application is told: where to read, where to write, and whether writes wait; at one instant."""
        with self._read() as connection:
            route = placed.effective(connection, name, workspace)
            if route is None:
                return None
            rows = [gates.find(connection, name, part) for part in (None, workspace)]
            at = self._now(connection)
        held = [pause for row in rows if row is not None and (pause := gates.pause_of(row)).holds(at)]
        longest = max(held, key=lambda pause: pause.paused_until, default=None)
        return Serving(name, workspace, route.url, route.reads_url or route.url, route.epoch, at, longest)

    def routes(self) -> list[Route]:
        """The routes of whole collections, by name."""
        with self._read() as connection:
            return [placed.whole(row) for row in connection.execute(select(routes).order_by(routes.c.name))]

    def workspace_routes(self, name: str) -> list[Route]:
        """The workspaces of a route that were moved apart from the whole, by key."""
        query = select(workspace_routes).where(workspace_routes.c.route == name).order_by(workspace_routes.c.workspace)
        with self._read() as connection:
            return [placed.entry_route(row) for row in connection.execute(query)]

    def routes_naming(self, url: str) -> list[Route]:
        """The routes, of collections and of workspaces, that lead to this collection now, for reads or for writes."""
        found = _canonical(url)
        names = select(routes).where(or_(routes.c.url == found, routes.c.reads_url == found))
        entries = workspace_routes.c
        apart = select(workspace_routes).where(or_(entries.url == found, entries.reads_url == found))
        with self._read() as connection:
            whole = [placed.whole(row) for row in connection.execute(names.order_by(routes.c.name))]
            parts = connection.execute(apart.order_by(entries.route, entries.workspace))
            return whole + [placed.entry_route(row) for row in parts]

    def claim_route(self, name: str, url: str, migration_id: str, token: int | None = None) -> Route:
        """Make this migration the one that may switch the route; registers it at `url`, epoch 1, if it is new.

        Raises PlanRefused if another live migration has it, or if it leads to another collection than `url`, as a
        whole or for one workspace.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            return claim(write, name, url, migration_id)

    def switch_route(
        self,
        migration_id: str,
        name: str,
        *,
        expected_epoch: int,
        to_url: str,
        state_from: State,
        state_to: State,
        event: str,
        token: int | None,
        alias: JsonObject | None = None,
        approval: int | None = None,
        detail: JsonObject | None = None,
        workspace: str | None = None,
        pause_token: int | None = None,
        needs_s: float = 0.0,
        delta_rows: int | None = None,
    ) -> Route:
        """Move the route, its epoch, the alias intent and the state in one transaction, and use the approval in it.

        The way back is switched by the same call. `state_to` may be `state_from`: the commit within SWITCHING. With
        `workspace` (a key) its own entry and state move; that of the default group is the whole collection's route.
        The pause must hold for `needs_s` seconds yet; out of SWITCHING and ROLLBACK_SWITCHING there has to be one. The
        approval that was used for it is held against the route and the verdict of now, and `delta_rows` against what
        it allows for the last delta.

        Raises LeaseLost if the token does not hold the migration, UnsafeRoute if the epoch or the state is another, the
        route belongs to another migration, this one is a trial, the pause is over, or the approval is no unused yes to
        this. Then nothing was changed.
        """
        with self._write() as write:
            require(write, token, migration_id)
            route = _movable(write, name, workspace, migration_id, expected_epoch, alias)
            pause = _held(write, name, workspace, state_from, pause_token, needs_s)
            _use(write, migration_id, approval, pause, state_to, workspace, delta_rows)
            if workspace == DEFAULT_WORKSPACE:
                _pin_others(write, migration_id, route)
            values = {"url": _canonical(to_url), "previous_url": route.url, "epoch": expected_epoch + 1}
            told = {**(detail or {}), "route": name, "alias": alias, "pause": pause_token, **values}
            _step(write, migration_id, workspace, state_from, state_to, event, told)
            rest = {"changed_at": write.now, "alias": alias, "alias_confirmed_at": None, "reads_url": None}
            switched = placed.change(write, name, workspace, migration_id, **values, **rest)
            reached("ledger.switching")
        reached("ledger.switched")
        return switched

    def move_reads(
        self,
        migration_id: str,
        name: str,
        *,
        expected_epoch: int,
        to_url: str | None,
        state_from: State,
        state_to: State,
        event: str,
        token: int | None,
        alias: JsonObject | None = None,
        approval: int | None = None,
        workspace: str | None = None,
    ) -> Route:
        """Let reads go elsewhere than writes, or (None) to where those go again.

        Route, epoch and state change in one transaction. Raises as `switch_route` does.
        """
        with self._write() as write:
            require(write, token, migration_id)
            route = _movable(write, name, workspace, migration_id, expected_epoch, alias)
            if approval is not None:
                subject = within(write.connection, migration_id, workspace)
                use(write, migration_id, approval, kind_for(state_to, subject))
            if workspace == DEFAULT_WORKSPACE:
                _pin_others(write, migration_id, route)
            reads = None if to_url is None else _canonical(to_url)
            values = {"reads_url": reads, "epoch": expected_epoch + 1}
            _step(
                write, migration_id, workspace, state_from, state_to, event, {"route": name, "alias": alias, **values}
            )
            rest = {"url": route.url, "previous_url": route.previous_url, "changed_at": write.now}
            known_alias = {"alias": alias, "alias_confirmed_at": None}
            return placed.change(write, name, workspace, migration_id, **values, **rest, **known_alias)

    def confirm_alias(self, name: str, epoch: int) -> None:
        """The engine's alias was read back as meant with this epoch. Raises UnsafeRoute if the route has moved on."""
        with self._write() as write:
            row = placed.known_route(write.connection, name)
            if row.epoch != epoch or row.alias is None:
                raise UnsafeRoute(
                    f"route {name} has epoch {row.epoch}, and the alias read back was that of epoch {epoch}",
                    advice=f"`vecferry route {name}` shows where it leads now",
                )
            if row.alias_confirmed_at is None:
                values = {"alias_confirmed_at": write.now}
                write.connection.execute(update(routes).where(routes.c.name == name).values(**values))
                audit.append(write, "alias confirmed", row.migration, {"route": name, "epoch": epoch})


def claim(write: Write, name: str, url: str, migration_id: str) -> Route:
    """`claim_route` within a transaction. Raises PlanRefused."""
    row = placed.route_row(write.connection, name)
    if row is None:
        _register(write, migration_id, name, _canonical(url))
    elif row.migration != migration_id:
        _refuse_clash(write.connection, row, _canonical(url))
        epoch = _joined(write, name, _canonical(url), row.epoch)
        values = {"migration": migration_id, "epoch": epoch}
        write.connection.execute(update(routes).where(routes.c.name == name).values(**values))
        audit.append(write, "route claimed", migration_id, {"route": name, "before": row.migration})
    return placed.known_whole(write.connection, name)


def _canonical(url: str) -> str:
    """One spelling of a URL. Raises BadOption if it holds a secret."""
    return str(address.parse(url))


def _register(write: Write, migration_id: str, name: str, url: str) -> None:
    values = {"name": name, "url": url, "epoch": 1, "migration": migration_id, "changed_at": write.now}
    write.connection.execute(insert(routes).values(**values))
    audit.append(write, "route registered", migration_id, {"route": name, "url": url, "epoch": 1})


def _refuse_clash(connection: Connection, row: Row[Any], url: str) -> None:
    advice = "choose another name with --route NAME"
    if State(known(connection, row.migration).state) in LIVE:
        raise PlanRefused(
            f"route {row.name} belongs to migration {row.migration}, which has not ended",
            advice=f"end that one (`vecferry status {row.migration}`), or {advice}",
        )
    if row.url != url:
        raise PlanRefused(f"route {row.name} leads to {row.url}, not to {url}", advice=advice)


def _joined(write: Write, name: str, url: str, epoch: int) -> int:
    """Give up the workspaces' entries of ended migrations; an epoch that no application has seen a greater one of."""
    entries = write.connection.execute(select(workspace_routes).where(workspace_routes.c.route == name)).all()
    for entry in entries:
        if entry.url != url or entry.reads_url not in (None, url):
            advice = "roll that workspace back, or move it on, before the collection moves again"
            raise PlanRefused(f"workspace {entry.workspace} of route {name} leads to {entry.url}", advice=advice)
    write.connection.execute(delete(workspace_routes).where(workspace_routes.c.route == name))
    return max([int(epoch), *(int(entry.epoch) + 1 for entry in entries)])


def _movable(
    write: Write, name: str, workspace: str | None, migration_id: str, expected_epoch: int, alias: JsonObject | None
) -> Route:
    """The route that is to move. Raises UnsafeRoute, NotFound."""
    advice = f"nothing was switched; `vecferry route {name}` shows where it leads"
    row = known(write.connection, migration_id)
    owner, mine = placed.known_route(write.connection, name).migration, row.parent or row.id
    route = placed.effective(write.connection, name, workspace)
    assert route is not None, "it was found just now"
    if owner != mine:
        raise UnsafeRoute(f"route {name} belongs to migration {owner}, not {mine}", advice=advice)
    if row.parent is not None and workspace != row.workspace:
        raise UnsafeRoute(f"migration {migration_id} moves the workspace {row.workspace} alone", advice=advice)
    if route.epoch != expected_epoch:
        raise UnsafeRoute(f"route {name} has epoch {route.epoch}, not {expected_epoch} as expected", advice=advice)
    if row.row_limit is not None:
        raise UnsafeRoute(f"migration {migration_id} moved only some rows, as a trial", advice=advice)
    if alias is not None and workspace not in (None, DEFAULT_WORKSPACE):
        raise UnsafeRoute(f"an alias serves a whole collection, not the workspace {workspace}", advice=advice)
    return route


def _held(
    write: Write, name: str, workspace: str | None, state_from: State, pause_token: int | None, needs_s: float
) -> Pause | None:
    """The pause under which the route moves. Raises UnsafeRoute if it is over, or if there has to be one."""
    if pause_token is not None:
        return gates.require_pause(write.connection, write.now, name, workspace, pause_token, needs_s)
    if state_from in (State.SWITCHING, State.ROLLBACK_SWITCHING):
        raise UnsafeRoute(f"route {name} is switched out of {state_from} under a pause only", advice="pause the writes")
    return None


def _use(
    write: Write,
    migration_id: str,
    approval: int | None,
    pause: Pause | None,
    state_to: State,
    workspace: str | None,
    delta_rows: int | None,
) -> None:
    before = None if pause is None else pause.approval
    number = before if approval is None else approval
    if number is not None:
        subject = within(write.connection, migration_id, workspace)
        kind, used = kind_for(state_to, subject), number == before
        use(write, migration_id, number, kind, delta_rows=delta_rows, used_before=used, last=True)


def _step(
    write: Write,
    migration_id: str,
    workspace: str | None,
    state_from: State,
    state_to: State,
    event: str,
    told: JsonObject,
) -> None:
    numbers = moves.number_of(write.connection, migration_id, workspace)
    subject = "migration" if workspace is None else "workspace"
    name = f"vecferry.{subject}.route-moved" if state_from is state_to else None
    moves.take(write, moves.Move(migration_id, {state_from}, state_to, event, told, numbers, name))


def _pin_others(write: Write, migration_id: str, route: Route) -> None:
    """Workspaces that were never moved stay where they are when the route of the whole moves."""
    apart = select(workspace_routes.c.workspace).where(workspace_routes.c.route == route.name)
    row = known(write.connection, migration_id)
    mine = workspaces.c.migration == (row.parent or row.id)
    query = select(workspaces.c.key).where(mine, workspaces.c.key.not_in(apart))
    for key in write.connection.scalars(query.where(workspaces.c.key != DEFAULT_WORKSPACE)).all():
        values = {"url": route.url, "previous_url": route.previous_url, "epoch": route.epoch, "changed_at": write.now}
        placed.change(write, route.name, key, row.parent or row.id, **values, reads_url=route.reads_url)
