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
    """Whether an alias named like the route follows it, and why not."""

    alias: str
    follows: bool
    says: str

    def intent(self, to: Address) -> dict[str, str] | None:
        """What is recorded before the alias is touched."""
        return {"alias": self.alias, "collection": to.collection()} if self.follows else None

    def point_at(self, address: Address) -> None:
        """Point the alias at a collection, in one call."""
        with _open(address) as store:
            store.point_alias(self.alias)

    def serves(self, address: Address) -> str | None:
        """The collection that a fresh connection to the server of an address sees behind the alias."""
        with _open(address) as store:
            return store.alias_target(self.alias)

    def require(self, address: Address) -> None:
        """Raise UnsafeRoute unless a fresh connection sees the alias where it should be."""
        found = self.serves(address)
        if found != address.collection():
            raise UnsafeRoute(
                f"the alias {self.alias!r} serves {found!r}, expected was {address.collection()!r}",
                advice="another program moved it; look before you go on",
            )


def plan(source: Address, target: Address, route: str) -> AliasPlan:
    """The alias of a switch between two collections. Pure: no server is asked."""
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
    return AliasPlan(route, True, f"the alias {route!r} follows, and is read back")


def _server(address: Address) -> tuple[str, int | None, str, str]:
    """Which server an address means; behind one proxy there may be several, and an alias stays in its database."""
    prefix, database = address.options.get("prefix", "").strip("/"), address.options.get("database", "")
    return address.host, address.port, prefix, database


def _open(address: Address) -> Aliasing:
    store = registry.open_target(address)
    assert isinstance(store, Aliasing), "the registry says that this store has aliases"
    return store
