"""Inventory: what a collection is, without moving anything."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import progress_shown, show_table
from flows.migration import SETTINGS, advised, name_of, store
from vecferry.config import make_config
from vecferry.operations import look
from vecferry.strategies.sheets import inventory_sheet

__all__ = ["inventory"]


@flow(name="inventory", flow_run_name=name_of("inventory of"), **SETTINGS)
@advised
def inventory(source: str, document_field: str = "text", source_key_env: str | None = None) -> dict[str, int]:
    """Read every record of a collection once: schema, ids, vectors, profile of the payload.

    Args:
        source: URL of the collection, for example chroma://host:8000/docs.
        document_field: Payload field that holds the document in stores that have no documents.
        source_key_env: Name of the worker's environment variable that holds the store's API key.
    """
    place = store(source, source_key_env)
    # Nothing is moved, but the options of a migration say how a collection is read.
    config = make_config({"source": place, "target": place, "document_field": document_field}, where="the parameters")
    with progress_shown():
        found = look.inventory(config.source, config)
    show_table(inventory_sheet(str(config.source.public()), found.schema, found.profile))
    return {"records": found.profile.rows}
