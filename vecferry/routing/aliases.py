"""Aliases of the engine itself: between two collections of one server, the alias follows the route."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vecferry.address import Address
from vecferry.contract import Aliasing
from vecferry.errors import UnsafeRoute
from vecferry.stores import registry

__all__ = ["AliasPlan", "plan"]


@dataclass(frozen=True, slots=True)
class AliasPlan:
    """Whether an alias named like the route follows it, and why not. `reads`: a second one, that is read by."""

    alias: str
    follows: bool
    says: str
    reads: str | None = None

    def intent(self, to: Address, reads: Address | None = None) -> dict[str, str] | None:
        """What is recorded before an alias is touched: `to` takes the writes, and the reads unless `reads` does."""
        if not self.follows:
            return None
        found = {"alias": self.alias, "collection": to.collection()}
        read = {"reads_alias": self.reads, "reads_collection": (reads or to).collection()} if self.reads else {}
        return found | read

    def point_at(self, address: Address) -> None:
        """Point the alias at a collection, in one call; then the one that is read by."""
        with _open(address) as store:
            store.point_alias(self.alias)
        self.point_reads_at(address)

    def point_reads_at(self, address: Address) -> None:
        """Point the alias that is read by at a collection, where there is one."""
        if self.reads is not None:
            with _open(address) as store:
                store.point_alias(self.reads)

    def serves(self, address: Address, alias: str | None = None) -> str | None:
        """The collection that a fresh connection to the server of an address sees behind the alias (or another)."""
        with _open(address) as store:
            return store.alias_target(alias or self.alias)

    def require(self, address: Address, reads: Address | None = None) -> None:
        """Raise UnsafeRoute unless a fresh connection sees each alias where it should be."""
        places = {self.alias: address} | ({self.reads: reads or address} if self.reads else {})
        for alias, expected in places.items():
            found = self.serves(address, alias)
            if found != expected.collection():
                raise UnsafeRoute(
                    f"the alias {alias!r} serves {found!r}, expected was {expected.collection()!r}",
                    advice="another program moved it; look before you go on",
                )


def plan(source: Address, target: Address, route: str, reads: str | None = None) -> AliasPlan:
    """The alias of a switch between two collections, and (`reads`) the one that is read by. Pure: asks no server."""
    here, there = registry.entry(source.scheme), registry.entry(target.scheme)
    if not (here.aliases and there.aliases and here.kind == there.kind):
        return AliasPlan(route, False, "applications learn of it from `vecferry route`: these stores share no alias")
    if _server(source) != _server(target):
        return AliasPlan(
            route, False, "applications learn of it from `vecferry route`: an alias spans neither servers nor databases"
        )
    if route in (source.collection(), target.collection()):
        says = f"applications learn of it from `vecferry route`: {route!r} is a collection's own name (see --route)"
        return AliasPlan(route, False, says)
    if not re.fullmatch(there.alias_names, route):
        says = f"applications learn of it from `vecferry route`: {there.scheme}:// has no alias named {route!r}"
        return AliasPlan(route, False, f"{says} (see --route)")
    if reads is None:
        return AliasPlan(route, True, f"the alias {route!r} follows, and is read back")
    return AliasPlan(route, True, f"the aliases {route!r} and {reads!r} follow, and are read back", reads)


def _server(address: Address) -> tuple[str, int | None, str, str]:
    """Which server an address means; behind one proxy there may be several, and an alias stays in its database."""
    prefix, database = address.options.get("prefix", "").strip("/"), address.options.get("database", "")
    return address.host, address.port, prefix, database


def _open(address: Address) -> Aliasing:
    store = registry.open_target(address)
    assert isinstance(store, Aliasing), "the registry says that this store has aliases"
    return store
