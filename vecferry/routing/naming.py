"""Who names a collection: routes, aliases, other migrations. What is named is not dropped. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vecferry.address import Address, parse
from vecferry.ledger import Migration, Route
from vecferry.model import Feature
from vecferry.stores import registry

__all__ = ["aliases_of", "names_of", "same_place"]

_WITHIN = ("tenant", "database", "prefix")
_ALIAS = "alias"


def same_place(one: Address, other: Address) -> bool:
    """Whether two addresses mean one collection, however they are spelled and whatever options they carry."""
    return _place(one) == _place(other)


def _place(address: Address) -> tuple[object, ...]:
    known = registry.entry(address.scheme)
    options = tuple(address.options.get(name, "") for name in _WITHIN)
    return known.kind or known.scheme, address.host, address.port, address.path.rstrip("/"), *options


def names_of(collection: Address, routes: Iterable[Route], live: Iterable[Migration]) -> list[str]:
    """Everything of a ledger that names a collection, in words: routes (reads or writes) and live migrations."""
    found = []
    for route in routes:
        urls = {url for url in (route.url, route.reads_url) if url is not None}
        if any(same_place(parse(url), collection) for url in urls):
            found.append(f"the route {route.name!r}" + (f" (workspace {route.workspace})" if route.workspace else ""))
    for migration in live:
        if any(same_place(parse(url), collection) for url in (migration.source_url, migration.target_url)):
            found.append(f"the migration {migration.id} ({migration.state})")
    return found


def aliases_of(features: Iterable[Feature]) -> list[str]:
    """The engine's aliases that lead to a collection, by what its schema tells."""
    found = []
    for feature in features:
        settings = feature.settings or {}
        if settings.get("kind") == _ALIAS:
            found.append(str(settings["key"]))
        elif feature.name == _ALIAS:
            found.append(feature.value)
    return found
