"""Leases with fencing tokens: no two runs work on one migration or write one collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from vecferry import plain
from vecferry.errors import LeaseLost, LockHeld
from vecferry.ledger import audit
from vecferry.ledger.counting import next_number
from vecferry.ledger.database import Database, Write
from vecferry.ledger.holder import Holder
from vecferry.ledger.rows import Lease
from vecferry.ledger.schema import leases as table

__all__ = ["Leases", "migration_resource", "require"]

_TOKEN = "lease token"
_LEASE = select(table).where(table.c.resource == bindparam("asked"))


def migration_resource(migration_id: str) -> str:
    """The name under which a migration is leased; changes of it that come with a token are checked against this."""
    return f"migration:{migration_id}"


def require(write: Write, token: int | None, migration_id: str) -> None:
    """Check within a transaction that `token` still holds the migration; None asks nothing. Raises LeaseLost."""
    if token is not None:
        resource = migration_resource(migration_id)
        _judge(_row(write.connection, resource), token, resource, write.now)


class Leases(Database):
    """Taking, keeping and giving back leases. Renewals are not audited: they change nothing that is decided upon."""

    def acquire(self, resources: Sequence[str], holder: Holder, ttl_s: float) -> Lease:
        """Lease all `resources` or none. Raises LockHeld naming the holder and until when.

        An expired lease, and one whose holder's process is dead on this machine, is taken over. The
        lease is not re-entrant: a process that holds one is refused like any other.
        """
        return self._take(resources, holder, ttl_s, _refuse_living)

    def acquire_before(self, resources: Sequence[str], holder: Holder, ttl_s: float, giving_way: str) -> Lease:
        """`acquire`, but for a run that holds the resource `giving_way` as well: its token is worth nothing any more.

        That run keeps `giving_way` itself, not one of `resources`, until its end, which can be waited for by it.
        """
        return self._take(resources, holder, ttl_s, _refuse_living, giving_way)

    def take_over(self, resources: Sequence[str], holder: Holder, ttl_s: float) -> Lease:
        """Lease all `resources`, whoever holds them: the old token is worth nothing from now on.

        For abort and rollback. See `Lease.displaced` for what to wait for.
        """
        return self._take(resources, holder, ttl_s, lambda row, now: None)

    def renew(self, lease: Lease) -> Lease:
        """The same lease for another `ttl_s` from now, even if it had expired, as long as nobody took it over.

        Raises LeaseLost.
        """
        with self._write() as write:
            for resource in lease.resources:
                _judge(_row(write.connection, resource), lease.token, resource, now=None)
            expires_at = write.now + timedelta(seconds=lease.ttl_s)
            write.connection.execute(
                update(table).where(_of(lease)).values(acquired_at=write.now, expires_at=expires_at)
            )
        return replace(lease, expires_at=expires_at)

    def release(self, lease: Lease) -> None:
        """Give back what of the lease was not taken over meanwhile. Giving it back twice is harmless."""
        with self._write() as write:
            if write.connection.execute(delete(table).where(_of(lease))).rowcount:
                detail = {"resources": list(lease.resources), "token": lease.token}
                audit.append(write, "lease released", _migration_of(lease.resources), detail)

    def check(self, token: int, resource: str) -> None:
        """Return if `token` holds `resource` now. Raises LeaseLost if not: write nothing more."""
        with self._read() as connection:
            _judge(_row(connection, resource), token, resource, self._now(connection))

    def holder(self, resource: str) -> Lease | None:
        """The lease on a resource, even if it has expired; for `status`."""
        with self._read() as connection:
            row = _row(connection, resource)
            if row is None:
                return None
            same = select(table.c.resource).where(table.c.token == row.token).order_by(table.c.resource)
            resources = tuple(connection.scalars(same))
        ttl_s = (row.expires_at - row.acquired_at).total_seconds()
        return Lease(row.token, resources, _holder(row), ttl_s, row.expires_at)

    def _take(
        self,
        resources: Sequence[str],
        holder: Holder,
        ttl_s: float,
        judge: Callable[[Row[Any], datetime], None],
        giving_way: str | None = None,
    ) -> Lease:
        names = tuple(sorted(set(resources)))
        with self._write() as write:
            held = write.connection.execute(select(table).where(table.c.resource.in_(names))).all()
            gives_way = None if giving_way is None else _row(write.connection, giving_way)
            for row in held:
                if gives_way is None or row.token != gives_way.token:
                    judge(row, write.now)
            write.connection.execute(delete(table).where(table.c.resource.in_(names)))
            lease = Lease(
                token=next_number(write.connection, _TOKEN),
                resources=names,
                holder=holder,
                ttl_s=ttl_s,
                expires_at=write.now + timedelta(seconds=ttl_s),
                displaced=tuple({row.token: _holder(row) for row in held}.values()),
            )
            _store(write, lease)
        return lease


def _store(write: Write, lease: Lease) -> None:
    common = {"token": lease.token, "holder": plain.to_json(lease.holder), "acquired_at": write.now}
    rows = [common | {"resource": name, "expires_at": lease.expires_at} for name in lease.resources]
    write.connection.execute(insert(table), rows)
    detail = {
        "resources": list(lease.resources),
        "token": lease.token,
        "holder": str(lease.holder),
        "displaced": [str(holder) for holder in lease.displaced],
    }
    audit.append(write, "lease taken", _migration_of(lease.resources), detail)


def _refuse_living(row: Row[Any], now: datetime) -> None:
    if row.expires_at > now and not (holder := _holder(row)).is_dead():
        raise LockHeld(
            f"{row.resource} is held by {holder} until {row.expires_at:%Y-%m-%d %H:%M:%S} UTC",
            advice="wait until that run has ended; if it is dead, its lease ends by itself at that time",
        )


def _judge(row: Row[Any] | None, token: int, resource: str, now: datetime | None) -> None:
    if row is None or row.token != token:
        by = f" by {_holder(row)}" if row is not None else ""
        raise LeaseLost(f"the lease on {resource} was taken over or given back{by}", advice="this run must end here")
    if now is not None and row.expires_at <= now:
        raise LeaseLost(
            f"the lease on {resource} expired at {row.expires_at:%H:%M:%S} UTC",
            advice="this process stood still for too long; `vecferry resume ID` goes on",
        )


def _row(connection: Connection, resource: str) -> Row[Any] | None:
    return connection.execute(_LEASE, {"asked": resource}).one_or_none()


def _of(lease: Lease) -> Any:
    return (table.c.token == lease.token) & table.c.resource.in_(lease.resources)


def _holder(row: Row[Any]) -> Holder:
    return plain.from_json(Holder, row.holder)


def _migration_of(resources: Sequence[str]) -> str | None:
    """The migration in whose trail a lease is told."""
    prefix = migration_resource("")
    return next((name.removeprefix(prefix) for name in resources if name.startswith(prefix)), None)
