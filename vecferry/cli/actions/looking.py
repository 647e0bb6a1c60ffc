"""Look at stores, collections and plans; compare two stores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from vecferry import plain
from vecferry.cli.actions import many_looks, request, store_table
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.config import MigrationConfig
from vecferry.errors import BadOption, TargetNotEmpty, VecferryError
from vecferry.model import Verdict
from vecferry.operations import look, surveys
from vecferry.operations.migrations import logical_name
from vecferry.operations.survey_sheets import inspection_sheets
from vecferry.routing import aliases, two_steps
from vecferry.strategies.sheets import (
    Sheet,
    decisions_sheet,
    not_moved_sheet,
    verdict_sheet,
)
from vecferry.strategies.steps.inventory import refuse, refuse_cutover
from vecferry.strategies.steps.validate import require_same
from vecferry.transfer.space import estimate_bytes

__all__ = ["inventory", "plan", "stores", "verify"]

Options = Mapping[str, Any]
_NOWHERE = "memory:///nowhere"


def stores(*, markdown: bool) -> Result:
    """The table of stores."""
    known = store_table.rows()
    page = store_table.markdown(known) if markdown else store_table.sheet(known)
    return Result({"stores": [plain.to_plain(row) for row in known]}, (page,))


def inventory(screen: Screen, options: Options) -> Result:
    """What a collection is, how much room it takes, and what of it will not fit a target."""
    given = {name: value for name, value in options.items() if name != "no_vectors"}
    if "profile" in given and "target" not in given:
        raise BadOption("--profile is a rule set for a target, and none is named", advice="add --target URL")
    # Nothing is moved, but the options of a migration say how a collection is read.
    given = {"target": _NOWHERE, **given}
    inspect = partial(_inspect, screen, fits="target" in options, vectors="no_vectors" not in options)
    many = request.many(given, "load")
    return inspect(request.migration(given)) if many is None else many_looks.each(many, inspect, "read")


def _inspect(screen: Screen, config: MigrationConfig, *, fits: bool, vectors: bool) -> Result:
    target = config.target if fits else None
    with screen.progress():
        found = surveys.inspect(config, target, vectors=vectors)
    url = str(config.source.public())
    inventory, survey = found.surveyed.inventory, found.surveyed.survey
    document = {
        "url": url,
        "records": found.surveyed.records,
        "complete": found.complete,
        "schema": plain.to_plain(inventory.schema),
        "profile": plain.to_plain(inventory.profile),
        "survey": plain.to_plain(survey),
        "sizes": plain.to_plain(found.sizes),
        "fit": plain.to_plain(found.fit),
    }
    return Result(document, inspection_sheets(url, found))


def plan(screen: Screen, options: Options) -> Result:
    """What would happen."""
    many = request.many(options, "blue-green")
    if many is not None:
        return many_looks.each(many, partial(_plan, screen), "planned")
    return _plan(screen, request.migration(options))


def _plan(screen: Screen, config: MigrationConfig) -> Result:
    with screen.progress():
        found = look.preview(config)
    schema, profile, mapping = found.inventory.schema, found.inventory.profile, found.mapping
    size_bytes = estimate_bytes(schema, profile.rows, profile.payload.size_bytes)
    document = {
        "source": str(config.source.public()),
        "target": str(config.target.public()),
        "rows": profile.rows,
        "read_as": schema.dialect,
        "slices": len(found.inventory.slices),
        "archive_bytes_at_most": size_bytes,
        "target_exists": found.target_exists,
        "decisions": plain.to_plain(mapping.decisions),
        "refused": [decision.feature for decision in mapping.refusals()],
        "not_moved": plain.to_plain(mapping.not_moved),
    }
    pages: list[Sheet | str] = [f"Read as: {schema.dialect}"] if schema.dialect else []
    pages.append(decisions_sheet(document["source"], document["target"], mapping.decisions))
    if mapping.not_moved:
        pages.append(not_moved_sheet(mapping.not_moved))
    slices = "1 slice" if document["slices"] == 1 else f"{document['slices']:,} slices"
    pages.append(f"{profile.rows:,} records in {slices}; the archive takes at most {size_bytes / 1e6:,.1f} MB")
    return Result(document, tuple(pages), _refusal(config, found))


def _refusal(config: MigrationConfig, found: look.Preview) -> VecferryError | None:
    """Why `migrate` would not do this, if it would not."""
    try:
        refuse(found.mapping, found.inventory.profile)
        source, target = config.source.public(), config.target.public()
        alias = aliases.plan(source, target, config.route or logical_name(source), config.reads_alias)
        refuse_cutover(config, alias, same_ids=two_steps.keeps_ids(found.mapping, found.encoding))
    except VecferryError as error:
        return error
    if found.target_exists:
        return TargetNotEmpty("the target exists already", advice="give another collection name")
    return None


def verify(screen: Screen, options: Options) -> Result:
    """Do two stores hold the same?"""
    many = request.many(options, "load")
    if many is not None:
        return many_looks.verify(many, partial(_verify, screen))
    return _verify(screen, request.migration(options))


def _verify(screen: Screen, config: MigrationConfig) -> Result:
    with screen.progress():
        verdict = look.verify(config)
    target = str(config.target.public())
    document = {"source": str(config.source.public()), "target": target, "verdict": plain.to_plain(verdict)}
    return Result(document, (verdict_sheet(target, verdict),), _difference(target, verdict))


def _difference(target: str, verdict: Verdict) -> VecferryError | None:
    try:
        require_same(target, verdict)
    except VecferryError as error:
        return error
    return None
