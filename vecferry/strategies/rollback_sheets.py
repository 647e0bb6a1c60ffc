"""Tables about the way back: what it would do, and what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vecferry.strategies.sheets import Sheet

if TYPE_CHECKING:
    from vecferry.strategies.rollback import Figures

__all__ = ["figures_sheet", "rollback_sheet", "weighed_sheet"]

_WORDS = {
    "new": "new, written to the old store",
    "changed": "changed, written to the old store",
    "deleted": "deleted from the old store",
    "same": "done alike on both sides",
    "kept": "late writes of the old store, kept",
    "settled": "conflicts settled",
    "conflicts": "conflicts open",
    "aside": "set aside: the old store cannot hold them",
}


def weighed_sheet(migration: str, figures: Figures) -> Sheet:
    """What a rollback would do."""
    counts, found = figures.found.counts, figures.found
    rows = [(_WORDS[name], _counted(count, counts.examples.get(name, ()))) for name, count in counts.numbers().items()]
    rows += [("still changing", f"{found.waiting + found.incomplete:,}")] if found.waiting or found.incomplete else []
    rows.append(("writes would pause for about", f"{figures.pause_s:,.1f} s"))
    rows.append(("would serve", figures.leads_to + (" (a new copy of the old files)" if figures.copies else "")))
    rows.append(("rights", "the old store is asked whether it takes writes once the rollback begins"))
    rows += _lists(found.listed)
    return Sheet("rollback", f"A rollback of {migration} would come to this", ("what", "records"), tuple(rows))


def figures_sheet(migration: str, figures: Mapping[str, Any]) -> Sheet:
    """What a rollback would come to, as the last sync after the switch saw it; one table for each migration."""
    would_be, carried = figures["would_be"], figures["carried"]
    rows = [] if carried is None else [("carried to the old store", _written(carried))]
    rows += [(words, _counted(would_be[name], figures["examples"].get(name, ()))) for name, words in _WORDS.items()]
    rows += [("still changing", f"{figures['still_changing']:,}")] if figures["still_changing"] else []
    rows.append(("reading both stores took", f"{figures['seconds']:,.1f} s"))
    rows.append(("writes would pause for about", f"{figures['pause_s']:,.1f} s"))
    copy = " (a new copy of the old files)" if figures["copies_files"] else ""
    rows += [("would serve", figures["leads_to"] + copy), ("rights of the old store", figures["rights"])]
    rows.append(("reverse", figures["reverse"]))
    rows += _lists(figures["listed"])
    title = f"A rollback of {migration} would come to this, seen {figures['at'][:19].replace('T', ' ')} UTC"
    return Sheet(f"rollback-{migration}", title, ("what", "records"), tuple(rows))


def _written(carried: Mapping[str, int]) -> str:
    return ", ".join(f"{carried[name]:,} {name}" for name in ("new", "changed", "deleted"))


def rollback_sheet(migration: str, kept: Mapping[str, Any]) -> Sheet:
    """What a rollback did."""
    rows = [(words, f"{kept[name]:,}") for name, words in _WORDS.items() if kept.get(name)]
    rows += [("serves", kept["url"])]
    rows += [("writes paused for", f"{kept['paused_s']:,.1f} s")] if "paused_s" in kept else []
    late = {change: count for change, count in kept["late"].items() if count}
    if late:
        said = ", ".join(f"{count:,} {change}" for change, count in late.items())
        rows.append(("only in the new store", f"{said}; all are in {kept['late_list']}"))
    rows += _lists(kept["listed"])
    return Sheet("rollback", f"Rollback of {migration}", ("what", "found"), tuple(rows))


def _lists(listed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((f"list: {name}", path) for name, path in listed.items())


def _counted(count: int, examples: tuple[str, ...]) -> str:
    return f"{count:,}" + (f" (for example {', '.join(examples[:5])})" if examples else "")
