"""Prefect blocks for stores: a form in the UI, secrets encrypted on the server, and flows that take a block's name.

The ledger keeps only where a secret is (`NAME/FIELD` of a block). It is read anew each time a store is opened, so that
a key that was changed while a run waited for its approval is the changed one.
"""

from __future__ import annotations

from posixpath import normpath
from typing import Any, ClassVar

from httpx import HTTPError
from prefect.blocks.core import Block
from prefect.exceptions import PrefectException
from pydantic import Field, SecretStr

from vecferry import address, config
from vecferry.address import Address
from vecferry.errors import BadOption, NotFound, RetryLater

__all__ = ["VecferryStore", "secret_of", "store_in"]

SECRETS = ("api_key", "token", "basic")


class VecferryStore(Block):
    """A store, or one collection in it: its URL and the secrets that open it."""

    _block_type_name: ClassVar[str] = "vecferry store"
    _block_type_slug: ClassVar[str] = "vecferry-store"
    _description: ClassVar[str] = "A vector database (or a collection in it) and the secrets that open it."
    _block_schema_capabilities: ClassVar[list[str]] = []

    # Prefect answers 409 to a second block type of the same fields, so each has one that it needs.
    url: str = Field(description="Like qdrant://host:6334/docs; without a secret, which the UI would show.")
    api_key: SecretStr | None = Field(default=None, description="Key of Qdrant, Chroma Cloud or Zilliz Cloud.")
    token: SecretStr | None = Field(default=None, description="Bearer token of Chroma, or USER:PASSWORD of Milvus.")
    basic: SecretStr | None = Field(default=None, description="USER:PASSWORD for basic authentication of Chroma.")
    trust_local_files: bool = Field(
        default=False, description="Open its files although they could run a program (pickles of qdrant+path)."
    )


def store_in(name: str, url: str | None) -> dict[str, Any]:
    """A block's store as the configuration takes it, each secret by reference.

    `url` names another place of the same store, such as one of its collections; a block's secrets go nowhere else.
    Raises NotFound, BadOption, RetryLater.
    """
    block = _load(name)
    given = address.parse(block.url)
    if url is not None:
        _require_same_store(name, given, address.parse(url))
    secrets = {field: {"block": f"{name}/{field}"} for field in SECRETS if getattr(block, field) is not None}
    return {"url": url or block.url, "trust_local_files": block.trust_local_files, **secrets}


def secret_of(name: str, field: str) -> str:
    """A secret, as the block holds it now. Raises NotFound, RetryLater."""
    value: SecretStr | None = getattr(_load(name), field, None)
    if value is None:
        raise NotFound(f"the block {name!r} has no {field} any more", advice="set it on the page Blocks of the UI")
    return value.get_secret_value()


def _require_same_store(name: str, block: Address, wanted: Address) -> None:
    places = [(one.scheme, one.host, one.port) for one in (block, wanted)]
    inside = block.host or f"{normpath(wanted.path)}/".startswith(f"{normpath(block.path).rstrip('/')}/")
    if places[0] != places[1] or not inside:
        raise BadOption(
            f"{wanted} is not in the store of the block {name!r}, and its secrets go nowhere else",
            advice=f"a URL that begins like {block}, or none",
        )


def _load(name: str) -> VecferryStore:
    try:
        found = VecferryStore.load(name)
    except ValueError as error:
        raise NotFound(
            f"no block of stores is named {name!r}", advice="make it on the page Blocks of the UI"
        ) from error
    except (HTTPError, PrefectException) as error:
        raise RetryLater(f"the block {name!r} cannot be read now: {error}") from error
    assert isinstance(found, VecferryStore), "flows are sync, so blocks are loaded at once"
    return found


config.read_blocks_with(secret_of)
