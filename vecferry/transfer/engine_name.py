"""What wrote a store, in words, with a version where one is known."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from vecferry.contract import Source

__all__ = ["engine_name", "minor_version"]

_PACKAGES = {
    "chroma+path": "chromadb",
    "faiss": "faiss-cpu",
    "milvus+path": "milvus-lite",
    "numpy": "numpy",
    "qdrant+edge": "qdrant-edge-py",
}
"""The package that works on a store's files here; looked up by name, never imported."""


def engine_name(scheme: str, source: Source) -> str:
    """The engine of a store: a server's with the version that it says, a folder's with that of the package here."""
    engine, package = source.capabilities().engine, _PACKAGES.get(scheme)
    snapshots = source.snapshots()
    if snapshots is not None:
        return f"{engine}, {snapshots.server_version()}"
    try:
        return f"{engine}, {package} {version(package)}" if package else engine
    except PackageNotFoundError:
        return engine


def minor_version(version: str) -> tuple[int, ...]:
    """A server's version without its patch level; empty where the text is none."""
    numbers = version.split(".")[:2]
    return tuple(map(int, numbers)) if all(number.isdigit() for number in numbers) else ()
