"""The table of stores: the registry, and what each store can hold as far as that is known without a server."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vecferry import address
from vecferry.capabilities import Capabilities
from vecferry.errors import VecferryError
from vecferry.operations.report import sheet_markdown
from vecferry.stores import registry
from vecferry.stores.registry import StoreEntry
from vecferry.strategies.sheets import Sheet

__all__ = ["StoreRow", "markdown", "rows", "sheet"]

_NOWHERE = "/nowhere/vecferry/collection"


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One URL scheme. Empty texts: a server says it once it is reached, or the driver is not installed."""

    scheme: str
    forms: tuple[str, ...]
    summary: str
    extra: str
    role: str
    ids: str = ""
    vectors: str = ""
    metrics: str = ""
    document: str = ""


def rows() -> list[StoreRow]:
    """Every store of the registry."""
    return [_row(store) for store in registry.STORES.values()]


def _row(store: StoreEntry) -> StoreRow:
    known = _capabilities(store)
    role = "source" if store.only_read else "source, target"
    base = StoreRow(store.scheme, store.forms, store.summary, store.extra or "", role)
    return base if known is None else _with_capabilities(base, known)


def _capabilities(store: StoreEntry) -> Capabilities | None:
    """Asked of a store that is not there: opening one neither creates nor needs it. Servers are not asked."""
    if store.only_read:
        found: Capabilities = importlib.import_module(store.module).CAPABILITIES
        return found
    if "//HOST" in store.forms[0]:
        return None
    suffix = ".npy" if store.scheme == "numpy" else ""
    try:
        with registry.open_target(address.parse(f"{store.scheme}://{_NOWHERE}{suffix}")) as target:
            return target.capabilities()
    except VecferryError:
        return None


def _with_capabilities(row: StoreRow, known: Capabilities) -> StoreRow:
    support = known.vectors
    kinds = _joined(support.kinds) + (", named" if support.named else "")
    return StoreRow(
        row.scheme,
        row.forms,
        row.summary,
        row.extra,
        row.role,
        ids=_joined(known.id_kinds),
        vectors=f"{kinds}; {_joined(support.dtypes)}",
        metrics=_joined(support.metrics),
        document="yes" if known.document else "in the payload",
    )


def _joined(values: Iterable[str]) -> str:
    return ", ".join(sorted(str(value) for value in values))


def sheet(known: Sequence[StoreRow]) -> Sheet:
    """For a terminal."""
    header = ("URL", "store", "as", "ids", "vectors", "metrics", "extra")
    return Sheet("stores", "Stores", header, tuple(_cells(row, "\n") for row in known))


def _cells(row: StoreRow, between: str) -> tuple[str, ...]:
    forms = between.join(row.forms)
    return (forms, row.summary, row.role, row.ids, row.vectors, row.metrics, row.extra)


def markdown(known: Sequence[StoreRow]) -> str:
    """For the README: the table alone."""
    header = ("URL", "store", "as", "extra")
    cells = tuple((" ".join(f"`{form}`" for form in row.forms), row.summary, row.role, row.extra) for row in known)
    table = sheet_markdown(Sheet("stores", "", header, cells))
    return table.partition("\n\n")[2].strip()
