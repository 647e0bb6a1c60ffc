"""Which collections of a store are moved, and where each goes: pure, and refused whole where two would meet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from vecferry.address import Address
from vecferry.config import Hooks, MigrationConfig, Selection
from vecferry.contract import Listed, Listing
from vecferry.errors import BadOption, NotFound
from vecferry.operations.migrations import logical_name
from vecferry.stores import registry
from vecferry.strategies.work import SWITCHING

__all__ = ["Pair", "chosen", "is_chosen", "pairs", "require_some"]

_PLACE = re.compile(r"\{(\w+)\}")
_KNOWN = ("name", "tenant", "database")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """One collection, and the configuration of its own migration."""

    found: Listed
    config: MigrationConfig


def is_chosen(name: str, selection: Selection) -> bool:
    """Whether a collection of this name is meant."""
    wanted = any(fnmatchcase(name, pattern) for pattern in selection.collections)
    return wanted and not any(fnmatchcase(name, pattern) for pattern in selection.exclude)


def chosen(listing: Listing, selection: Selection) -> tuple[Listed, ...]:
    """The collections that are meant."""
    return tuple(found for found in listing.collections if is_chosen(found.name, selection))


def require_some(found: Sequence[Listed], listing: Listing, source: str, selection: Selection) -> None:
    """Raise NotFound where nothing is meant: surprising emptiness is no success."""
    if found:
        return
    if not listing.collections:
        raise NotFound(f"{source} holds no collection", advice="; ".join(listing.notes) or "check the URL")
    names = ", ".join(_first([one.name for one in listing.collections]))
    raise NotFound(f"no collection of {source} is meant by {' '.join(selection.collections)}", advice=f"it has {names}")


def pairs(found: Sequence[Listed], config: MigrationConfig, selection: Selection, strategy: str) -> tuple[Pair, ...]:
    """The migration of each collection: `config` names the two stores, and holds for all of them otherwise.

    Raises BadOption, listing them, where two would become one collection, share a route or one archive.
    """
    planned = tuple(Pair(one, _config_of(one, config, selection, strategy)) for one in found)
    _refuse_meetings(planned, strategy)
    return planned


def _config_of(found: Listed, config: MigrationConfig, selection: Selection, strategy: str) -> MigrationConfig:
    archive = None if config.archive is None else Path(_filled(str(config.archive), found))
    if strategy == "export":
        # An archive names its collection as its source does.
        target = f"archive://{quote(str(archive))}/{quote(found.address.name, safe='')}"
    else:
        target = str(registry.address_in(_store_of(found, config), _filled(selection.target_name, found)))
    return config.model_copy(
        update={
            "source": config.source.model_copy(update={"url": str(found.address)}),
            "target": config.target.model_copy(update={"url": target}),
            "archive": archive,
            "route": None if config.route is None else _filled(config.route, found),
            "reads_alias": None if config.reads_alias is None else _filled(config.reads_alias, found),
            "hooks": _hooks_of(found, config),
        }
    )


def _hooks_of(found: Listed, config: MigrationConfig) -> Hooks:
    """The same calls for all, told apart by the route; a file says what serves one route."""
    file = config.hooks.route_file
    place = None if file is None else Path(_filled(str(file), found))
    return config.hooks.model_copy(update={"route_file": place})


def _store_of(found: Listed, config: MigrationConfig) -> Address:
    """The target's store; its options may name the database that the old collection is in."""
    store = config.target.public()
    return replace(store, options={name: _filled(value, found) for name, value in store.options.items()})


def _filled(template: str, found: Listed) -> str:
    """A template with the names of one collection. Raises BadOption for a place that is not known."""
    unknown = [name for name in _PLACE.findall(template) if name not in _KNOWN]
    if unknown:
        places = ", ".join(f"{{{name}}}" for name in _KNOWN)
        raise BadOption(f"{template!r} has a place {{{unknown[0]}}}", advice=f"places are {places}")
    return _PLACE.sub(lambda place: str(getattr(found, place[1])), template)


def _refuse_meetings(planned: Sequence[Pair], strategy: str) -> None:
    sources = {str(pair.found.address) for pair in planned}
    for pair in planned:
        if pair.config.target.url in sources:
            raise BadOption(
                f"{pair.found.address} would become {pair.config.target.url}, which is moved as well",
                advice="give the new collections other names: --target-name '{name}_new'",
            )
    named = "--target-name '{database}_{name}', or leave some out: --exclude NAME"
    _refuse_shared(planned, [pair.config.target.url for pair in planned], "become", named)
    if strategy in SWITCHING and planned and planned[0].config.limit is None:
        routes = [pair.config.route or logical_name(pair.found.address) for pair in planned]
        _refuse_shared(planned, routes, "share the route", "--route '{database}_{name}'")
    aliases = [pair.config.reads_alias for pair in planned if pair.config.reads_alias is not None]
    if aliases:
        _refuse_shared(planned, aliases, "share the alias", "--reads-alias '{name}-reads'")
    if planned and planned[0].config.archive is not None:
        folders = [f"{pair.config.archive}/{pair.found.address.name}" for pair in planned]
        _refuse_shared(planned, folders, "share the archive", "a folder for each database: .../{database}")
    files = [str(pair.config.hooks.route_file) for pair in planned if pair.config.hooks.route_file is not None]
    if files:
        _refuse_shared(
            planned, files, "share the route file", "a file for each collection: route_file: .../{name}.json"
        )


def _refuse_shared(planned: Sequence[Pair], places: Sequence[str], words: str, advice: str) -> None:
    found: dict[str, list[str]] = {}
    for pair, place in zip(planned, places, strict=True):
        found.setdefault(place, []).append(str(pair.found.address))
    shared = [f"{' and '.join(urls)} would {words} {place}" for place, urls in found.items() if len(urls) > 1]
    if shared:
        raise BadOption("; ".join(_first(shared)), advice=advice)


def _first(texts: Iterable[str]) -> list[str]:
    """The first ones, and how many more there are."""
    listed = list(texts)
    more = len(listed) - _SHOWN
    return [*listed[:_SHOWN], *([f"{more} more"] if more > 0 else [])]
