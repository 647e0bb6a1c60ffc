"""The table of stores: scheme -> where its code is, and which extra brings its driver. Imported on use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast

from vecferry.address import Address, below
from vecferry.contract import Health, Listing, Reader, Source, Target
from vecferry.errors import BadOption, MissingExtra

__all__ = [
    "STORES",
    "StoreEntry",
    "address_in",
    "entry",
    "health",
    "holds_files",
    "list_collections",
    "open_source",
    "open_target",
]


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One URL scheme: the module that opens it (`open_source`, `open_target`), its forms, its extra.

    `kind` groups the schemes of one engine: collections of one kind may share an alias or a server.
    `alias_names`: a regular expression of the names that its aliases may have.
    `only_read`: it is no target; its module has its `CAPABILITIES`.
    """

    scheme: str
    module: str
    forms: tuple[str, ...]
    summary: str
    extra: str | None = None
    kind: str = ""
    aliases: bool = False
    alias_names: str = ".+"
    only_read: bool = False


_MILVUS_NAMES = "[A-Za-z_][A-Za-z0-9_]{0,254}"

STORES: dict[str, StoreEntry] = {
    item.scheme: item
    for item in (
        StoreEntry("memory", "vecferry.stores.memory", ("memory:///COLLECTION",), "in this process, for tests"),
        StoreEntry(
            "numpy",
            "vecferry.stores.numpy_files",
            ("numpy:///DIR", "numpy:///DIR/vectors.npy", "numpy:///DIR/vectors.npz"),
            "a tree of .npy files with .json sidecars, or one 2-D array with a JSONL beside it",
        ),
        StoreEntry(
            "faiss",
            "vecferry.stores.faiss_index",
            ("faiss:///DIR/docs.index", "faiss:///DIR/docs.index?metadata=docs.json", "faiss:///FILE?index=hnsw"),
            "a FAISS index with its metadata JSON; as a target flat, HNSW or IVF",
            "faiss",
        ),
        StoreEntry(
            "jsonl",
            "vecferry.stores.jsonl",
            ("jsonl:///FILE.jsonl", "jsonl:///FILE.json?dialect=qdrant"),
            "points by line, Qdrant dumps, Chroma's columns, lines of chromadb-data-pipes",
        ),
        StoreEntry(
            "qdrant+edge",
            "vecferry.stores.qdrant.edge",
            ("qdrant+edge:///DIR/COLLECTION",),
            "Qdrant's engine in this process, one folder a collection",
            "qdrant",
            "qdrant",
        ),
        StoreEntry(
            "qdrant+path",
            "vecferry.stores.qdrant.local",
            ("qdrant+path:///DIR/COLLECTION",),
            "a folder of qdrant-client's local mode, as a source that must be trusted",
            kind="qdrant",
            only_read=True,
        ),
        StoreEntry(
            "qdrant",
            "vecferry.stores.qdrant.server",
            ("qdrant://HOST:6334/COLLECTION", "qdrant://HOST:6333/COLLECTION?wire=rest"),
            "a Qdrant server",
            "qdrant",
            "qdrant",
            aliases=True,
        ),
        StoreEntry(
            "qdrants",
            "vecferry.stores.qdrant.server",
            ("qdrants://HOST:6334/COLLECTION",),
            "a Qdrant server or cloud behind TLS",
            "qdrant",
            "qdrant",
            aliases=True,
        ),
        StoreEntry(
            "chroma+path",
            "vecferry.stores.chroma.local",
            ("chroma+path:///DIR/COLLECTION",),
            "a Chroma folder; as a source it is read directly and never changed",
            "chroma",
            "chroma",
        ),
        StoreEntry(
            "chroma",
            "vecferry.stores.chroma.server",
            ("chroma://HOST:8000/COLLECTION", "chroma://HOST:8000/COLLECTION?tenant=T&database=D"),
            "a Chroma server",
            "chroma",
            "chroma",
        ),
        StoreEntry(
            "chromas",
            "vecferry.stores.chroma.server",
            ("chromas://HOST/COLLECTION?tenant=T&database=D",),
            "a Chroma server or Chroma Cloud behind TLS",
            "chroma",
            "chroma",
        ),
        StoreEntry(
            "milvus+path",
            "vecferry.stores.milvus.local",
            ("milvus+path:///DIR/COLLECTION", "milvus+path:///FILE.db/COLLECTION"),
            "a folder of milvus-lite, whose engine runs in this process",
            "milvus",
            "milvus",
        ),
        StoreEntry(
            "milvus",
            "vecferry.stores.milvus.server",
            ("milvus://HOST:19530/COLLECTION", "milvus://HOST:19530/COLLECTION?database=D"),
            "a Milvus server",
            "milvus",
            "milvus",
            aliases=True,
            alias_names=_MILVUS_NAMES,
        ),
        StoreEntry(
            "milvuss",
            "vecferry.stores.milvus.server",
            ("milvuss://HOST:19530/COLLECTION",),
            "a Milvus server behind TLS",
            "milvus",
            "milvus",
            aliases=True,
            alias_names=_MILVUS_NAMES,
        ),
        StoreEntry(
            "zilliz",
            "vecferry.stores.milvus.server",
            ("zilliz://HOST/COLLECTION",),
            "Zilliz Cloud",
            "milvus",
            "milvus",
            aliases=True,
            alias_names=_MILVUS_NAMES,
        ),
        StoreEntry(
            "archive",
            "vecferry.archive.as_store",
            ("archive:///DIR/COLLECTION",),
            "an archive that vecferry wrote, read as a store",
            only_read=True,
        ),
    )
}


_CATALOGS = {
    "numpy": "vecferry.stores.numpy_files.catalog",
    "faiss": "vecferry.stores.faiss_index.catalog",
    "jsonl": "vecferry.stores.jsonl.catalog",
    "qdrant": "vecferry.stores.qdrant.catalog",
    "chroma": "vecferry.stores.chroma.catalog",
    "milvus": "vecferry.stores.milvus.catalog",
    "archive": "vecferry.archive.catalog",
}
"""Which module lists the collections of a kind of store."""

_HEALTH = {
    "qdrant": "vecferry.stores.qdrant.health",
    "chroma": "vecferry.stores.chroma.health",
    "milvus": "vecferry.stores.milvus.health",
}
"""Which module asks the engine of a kind of store how it is."""

_ENDINGS = {"numpy": (".npy", ".npz"), "faiss": (".index", ".faiss"), "jsonl": (".jsonl", ".json")}
"""How the file of a collection may end, and the one that a new one gets."""


class _StoreModule(Protocol):
    def open_source(self, address: Address, reader: Reader) -> Source: ...

    def open_target(self, address: Address, reader: Reader) -> Target: ...


class _Health(Protocol):
    def health(self, address: Address) -> Health: ...


class _Catalog(Protocol):
    def list_collections(self, store: Address) -> Listing: ...


def entry(scheme: str) -> StoreEntry:
    """The store of a scheme. Raises BadOption for one that is not in the table."""
    found = STORES.get(scheme)
    if found is None:
        known = ", ".join(f"{name}://" for name in STORES)
        raise BadOption(f"no store has the scheme {scheme}://", advice=f"known are {known}")
    return found


def holds_files(scheme: str) -> bool:
    """Whether a collection is a person's own files, and no database's. Raises BadOption."""
    return entry(scheme).scheme in _ENDINGS


def open_source(address: Address, reader: Reader = Reader.FAST) -> Source:
    """Open a collection for reading. Raises MissingExtra when its driver is not installed."""
    return _load(entry(address.scheme)).open_source(address, reader)


def open_target(address: Address, reader: Reader = Reader.FAST) -> Target:
    """Open a collection for writing. Raises MissingExtra when its driver is not installed."""
    return _load(entry(address.scheme)).open_target(address, reader)


def list_collections(store: Address) -> Listing:
    """The collections below an address without one. Raises BadOption for a store that cannot tell them."""
    found = entry(store.scheme)
    module = _CATALOGS.get(found.kind or found.scheme)
    if module is None:
        raise BadOption(f"{found.scheme}:// cannot list its collections", advice="name one of them")
    return cast(_Catalog, _imported(found, module)).list_collections(store)


def health(address: Address) -> Health | None:
    """How the engine behind an address is, with a collection in it or without; None for files, which have none.

    Writes nothing. Raises MissingExtra, and what a store raises whose engine cannot be reached.
    """
    found = entry(address.scheme)
    module = _HEALTH.get(found.kind)
    return None if module is None else cast(_Health, _imported(found, module)).health(address)


def address_in(store: Address, name: str) -> Address:
    """Where the collection `name` of a store would be; files get their ending. Raises BadOption for no file's name."""
    endings = _ENDINGS.get(store.scheme)
    if endings is None:
        return below(store, name)
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise BadOption(f"{name!r} cannot be the name of a file", advice="choose another by --target-name")
    return below(store, name if name.endswith(endings) else name + endings[0])


def _load(store: StoreEntry) -> _StoreModule:
    return cast(_StoreModule, _imported(store, store.module))


def _imported(store: StoreEntry, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if store.extra is None or (error.name or "").startswith("vecferry"):
            raise
        raise MissingExtra(
            f"{store.scheme}:// needs the package {error.name}, which is not installed",
            advice=f"pip install 'vecferry[{store.extra}]'",
        ) from error
