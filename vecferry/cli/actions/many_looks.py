"""Looking at many collections, one after the other: the same pages for each, and one table of how they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vecferry.cli.advice import error_document
from vecferry.cli.result import Result
from vecferry.config import MigrationConfig
from vecferry.errors import VecferryError
from vecferry.operations.many import Request, beside, find
from vecferry.operations.members import most_serious, place_of
from vecferry.strategies.sheets import Sheet

__all__ = ["each", "verify"]


def each(request: Request, look: Callable[[MigrationConfig], Result], done: str) -> Result:
    """Look at each collection that is meant; `done` is the word for those without an objection.

    One that fails does not keep the others from being looked at.
    """
    listed, listing = find(request)
    found = [(pair.found.address, pair.config, _looked(look, pair.config)) for pair in listed]
    errors = [result.error for _, _, result in found if result.error is not None]
    rows = tuple(
        (place_of(address), _records(result), "ok" if result.error is None else str(result.error))
        for address, _, result in found
    )
    pages = [page for _, _, result in found for page in result.pages]
    summary = Sheet("many", str(request.config.source.public()), ("collection", "records", "result"), rows)
    document = {
        "source": str(request.config.source.public()),
        "target": str(request.config.target.public()),
        "collections": [_document(str(address), config, result) for address, config, result in found],
        "found": len(found),
        done: len(found) - len(errors),
        "failed": len(errors),
        "notes": list(listing.notes),
    }
    counted = f"{len(found) - len(errors)} of {len(found)} collections {done}, {len(errors)} failed"
    return Result(document, (*pages, summary, "\n".join([counted, *listing.notes])), _error(errors, len(found)))


def verify(request: Request, look: Callable[[MigrationConfig], Result]) -> Result:
    """Compare each, and tell what the target holds besides."""
    result = each(request, look, "verified")
    extra = beside(request, {row["target"] for row in result.document["collections"]})
    lines = [f"only in the target, or not meant: {url}" for url in extra]
    pages = (*result.pages, "\n".join(lines)) if lines else result.pages
    return Result({**result.document, "beside": list(extra)}, pages, result.error)


def _looked(look: Callable[[MigrationConfig], Result], config: MigrationConfig) -> Result:
    try:
        return look(config)
    except VecferryError as error:
        return Result({}, (), error)


def _records(result: Result) -> str:
    rows = result.document.get("rows", result.document.get("records"))
    return f"{rows:,}" if isinstance(rows, int) else ""


def _document(address: str, config: MigrationConfig, result: Result) -> dict[str, Any]:
    error = result.error
    told = None if error is None else error_document(type(error).__name__, str(error), error.advice, error.exit_code)
    return {"source": address, "target": str(config.target.public()), **result.document, "error": told}


def _error(errors: Sequence[VecferryError], found: int) -> VecferryError | None:
    """One error of the most serious kind, which names the first of those."""
    kind = most_serious(error.exit_code for error in errors)
    if kind is None:
        return None
    first = next(error for error in errors if error.exit_code == kind.exit_code)
    return kind(f"{len(errors)} of {found} collections: {first}", advice=first.advice)
