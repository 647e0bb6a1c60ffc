"""Tab completion of ids, routes, URL schemes and profiles. Never an error, and never a new ledger: silence instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecferry.errors import VecferryError

if TYPE_CHECKING:
    from vecferry.ledger import Ledger

__all__ = ["migrations", "profiles", "routes", "urls"]


def migrations(incomplete: str) -> list[tuple[str, str]]:
    """Ids with state and target, the newest first; then those of groups."""
    ledger = _ledger()
    if ledger is None:
        return []
    found = [(one.id, f"{one.state} {one.target_url}") for one in reversed(ledger.migrations())]
    found += [(group.id, f"all to {group.target_url}") for group in reversed(ledger.groups())]
    return [(name, words) for name, words in found if name.startswith(incomplete)]


def routes(incomplete: str) -> list[tuple[str, str]]:
    """Names of routes, with what serves them."""
    ledger = _ledger()
    found = [] if ledger is None else ledger.routes()
    return [(one.name, one.url) for one in found if one.name.startswith(incomplete)]


def urls(incomplete: str) -> list[tuple[str, str]]:
    """The beginnings of all stores' URLs."""
    from vecferry.stores.registry import STORES

    forms = [(form.partition("/")[0], store.summary) for store in STORES.values() for form in store.forms[:1]]
    return [(form, summary) for form, summary in forms if form.startswith(incomplete)]


def profiles(incomplete: str) -> list[tuple[str, str]]:
    """The names of all rule sets, with what they are."""
    from vecferry.rule_sets import RULE_SETS

    return [(one.name, one.summary) for one in RULE_SETS.values() if one.name.startswith(incomplete)]


def _ledger() -> Ledger | None:
    from vecferry.ledger import Ledger, place

    try:
        where = place.find(None)
        return None if where.file is not None and not where.file.exists() else Ledger.open()
    except VecferryError:
        return None
