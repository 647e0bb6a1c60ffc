"""Whether reads may switch before the writes do: what an application has to bear for it. Pure."""

from __future__ import annotations

from vecferry.config import MigrationConfig
from vecferry.mapping import Mapping
from vecferry.routing.aliases import AliasPlan

__all__ = ["reason_against"]

_KEPT = frozenset({"same", "numbers"})
"""Kinds of ids in the target by which an application finds its records under the ids that it knows."""


def reason_against(config: MigrationConfig, mapping: Mapping, alias: AliasPlan) -> str:
    """Why a cutover in two steps cannot be, with what would allow it; `""` where it can.

    Between the steps an application reads from one store and writes to the other. So the ids that it reads must be
    those that it writes, it must never write back what it read, and what switches it must tell reads from writes.
    """
    if mapping.ids.mode not in _KEPT and not config.application_maps_ids:
        return (
            "the records have other ids in the new store than in the old one; if the application knows both: "
            "--application-maps-ids"
        )
    if not config.no_read_modify_write:
        return (
            "an application that writes back what it has read would lose writes between the steps; if it never does: "
            "--no-read-modify-write"
        )
    if alias.follows and alias.reads is None:
        return (
            f"one alias, {alias.alias!r}, serves reads and writes alike; let the application read by another one, and "
            "name it: --reads-alias NAME"
        )
    if config.reads_alias is not None and not alias.follows:
        return f"no alias follows this route: {alias.says}; leave --reads-alias out"
    if alias.reads is not None and alias.reads in _taken(config, alias):
        return f"{alias.reads!r} is the route's own alias, or a collection; give the reads another one"
    return ""


def _taken(config: MigrationConfig, alias: AliasPlan) -> tuple[str, ...]:
    return alias.alias, config.source.public().collection(), config.target.public().collection()
