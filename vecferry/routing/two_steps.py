"""Whether reads may switch before the writes do: what an application has to bear for it. Pure."""

from __future__ import annotations

import re

from vecferry.config import MigrationConfig
from vecferry.mapping import Mapping
from vecferry.routing.aliases import AliasPlan
from vecferry.stores import registry

__all__ = ["keeps_ids", "reason_against"]

_KEPT = frozenset({"same", "numbers"})
"""Kinds of ids in the target by which an application finds its records under the ids that it knows."""


def keeps_ids(mapping: Mapping, before: Mapping | None) -> bool:
    """Whether an application finds a record in both stores under one id.

    `before`: how the old store's records are encoded, where an earlier migration made it (`mapping` is of originals).
    """
    if before is None:
        return mapping.ids.mode in _KEPT
    return mapping.ids == before.ids or {mapping.ids.mode, before.ids.mode} <= _KEPT


def reason_against(config: MigrationConfig, alias: AliasPlan, *, same_ids: bool) -> str:
    """Why a cutover in two steps cannot be, with what would allow it; `""` where it can.

    Between the steps an application reads from one store and writes to the other. So the ids that it reads must be
    those that it writes, it must never write back what it read, and what switches it must tell reads from writes.
    """
    if not (same_ids or config.application_maps_ids):
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
    if alias.reads is not None and not _may_be_named(config, alias.reads):
        return f"{config.target.public().scheme}:// has no alias named {alias.reads!r}"
    if alias.reads is not None and alias.reads in _taken(config, alias):
        return f"{alias.reads!r} is the route's own alias, or a collection; give the reads another one"
    return ""


def _may_be_named(config: MigrationConfig, alias: str) -> bool:
    return re.fullmatch(registry.entry(config.target.public().scheme).alias_names, alias) is not None


def _taken(config: MigrationConfig, alias: AliasPlan) -> tuple[str, ...]:
    return alias.alias, config.source.public().collection(), config.target.public().collection()
