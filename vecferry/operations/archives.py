"""The halves of a migration on their own: an export ends with an archive, a load begins with one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from vecferry.archive import Archive, layout
from vecferry.config import MigrationConfig, StoreConfig
from vecferry.errors import BadOption, NotFound
from vecferry.ledger import Ledger
from vecferry.operations.migrations import start
from vecferry.stores import registry
from vecferry.strategies.runner import Ref

__all__ = ["archive_url", "collection_url", "start_export", "start_load"]


def start_export(ledger: Ledger, config: MigrationConfig) -> Ref:
    """Register an export into `config.archive`: its target is the archive of the source's collection."""
    if config.archive is None:
        raise BadOption("an export needs a folder", advice="vecferry export URL FOLDER")
    folder = config.archive.absolute()
    with registry.open_source(config.source.address()) as source:
        target = StoreConfig(url=collection_url(folder, source.describe().name))
    return start(ledger, config.model_copy(update={"target": target}), "export")


def start_load(ledger: Ledger, place: str, config: MigrationConfig) -> Ref:
    """Register a load of an archive: `place` is its URL, or its folder where that holds one collection."""
    source = StoreConfig(url=archive_url(place))
    return start(ledger, config.model_copy(update={"source": source}), "load")


def archive_url(text: str) -> str:
    """The URL of one collection in an archive, from that URL, a folder, or the folder as a URL.

    Raises NotFound where there is no archive, BadOption where there are several.
    """
    if text.startswith("archive:"):
        place = StoreConfig(url=text).public()
        if place.raw_path and place.name in _collections(place.folder()):
            return str(place)
        return _only_collection(place.file.absolute(), text)
    folder = Path(text).absolute()
    inside = [name for name in _collections(folder.parent) if layout.folder_name(name) == folder.name]
    return collection_url(folder.parent, inside[0]) if inside else _only_collection(folder, text)


def _only_collection(folder: Path, given: str) -> str:
    names = _collections(folder)
    if not names:
        raise NotFound(f"{given} holds no archive", advice="vecferry export URL FOLDER makes one")
    if len(names) > 1:
        example = collection_url(folder, names[0])
        raise BadOption(f"{given} holds {len(names)} collections", advice=f"name one of them, for example {example}")
    return collection_url(folder, names[0])


def _collections(folder: Path) -> list[str]:
    return Archive.collections(folder) if folder.is_dir() else []


def collection_url(folder: Path, name: str) -> str:
    """The URL of a collection in the archive of a folder."""
    return f"archive://{quote(str(folder))}/{quote(name, safe='')}"
