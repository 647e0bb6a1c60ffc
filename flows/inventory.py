"""Inventory: what a collection is and what room it takes, without moving anything."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import progress_shown, show_table
from flows.migration import SETTINGS, advised, name_of, store
from vecferry.config import make_config
from vecferry.operations import surveys
from vecferry.operations.survey_sheets import inspection_sheets

__all__ = ["inventory"]


@flow(name="inventory", flow_run_name=name_of("inventory of"), **SETTINGS)
@advised
def inventory(
    source: str | None = None,
    target: str | None = None,
    profile: str | None = None,
    document_field: str = "text",
    vectors: bool = True,
    limit: int | None = None,
    source_key_env: str | None = None,
    target_key_env: str | None = None,
    source_block: str | None = None,
    target_block: str | None = None,
    trust_local_files: bool = False,
) -> dict[str, int]:
    """Read every record of a collection once: schema, ids, vectors, payload keys, its room, and what will not fit.

    Args:
        source: URL of the collection, for example chroma://host:8000/docs.
        target: Where it would go; tells what will not fit there. Nothing is made, and it need not exist.
        profile: Rule set that the target is held to, such as chroma-cloud.
        document_field: Payload field that holds the document in stores that have no documents.
        vectors: Read the vectors too. Without them it is quicker on a server, and nothing is told of them.
        limit: Read only so many records; sizes are then estimated from them.
        source_key_env: Name of the worker's environment variable that holds the store's API key.
        target_key_env: The same for the target.
        source_block: Name of a block with the source's URL and secrets; `source` may then name a collection in it.
        target_block: The same for the target.
        trust_local_files: Open the source's files although they could run a program (pickles of qdrant+path).
    """
    place, wanted = store(source, source_key_env, source_block), store(target, target_key_env, target_block)
    # Nothing is moved, but the options of a migration say how a collection is read.
    content = {
        "source": place,
        "target": wanted or place,
        "profile": profile,
        "document_field": document_field,
        "limit": limit,
    }
    content |= {"trust_local_files": trust_local_files}
    config = make_config(content, where="the parameters")
    with progress_shown():
        found = surveys.inspect(config, None if wanted is None else config.target, vectors=vectors)
    for sheet in inspection_sheets(str(config.source.public()), found):
        show_table(sheet)
    return {"records": found.surveyed.survey.rows}
