"""The collections and aliases of a server, kept in its folder."""

import threading
import uuid
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter
from qdrant_client.http import models as m

from .collection import Collection
from .errors import ApiError, Failure, bad_input, missing_collection

FILE = "catalog.json"
INDEX_SCHEMA: TypeAdapter[Any] = TypeAdapter(m.PayloadFieldSchema)


class Catalog:
    """Names and what they lead to. The folder holds one shard folder a collection, and `catalog.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._collections: dict[str, Collection] = {}
        self._aliases: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FILE).exists():
            self._load()

    def close(self) -> None:
        with self._lock:
            for collection in self._collections.values():
                collection.close()

    def names(self) -> list[str]:
        with self._lock:
            return list(self._collections)

    def resolve(self, name: str) -> str:
        """The collection behind a name: itself, or what an alias leads to."""
        with self._lock:
            return self._aliases.get(name, name)

    def exists(self, name: str) -> bool:
        with self._lock:
            return self.resolve(name) in self._collections

    def get(self, name: str) -> Collection:
        with self._lock:
            if not self.exists(name):
                raise missing_collection(name)
            return self._collections[self.resolve(name)]

    def create(self, name: str, config: m.CollectionConfig) -> None:
        with self._lock:
            self._refuse_taken(name)
            if name in self._aliases:
                raise bad_input(f"Can't create collection with name {name}. Alias with the same name already exists")
            self._collections[name] = Collection.create(name, self.new_folder(), config)
            self.save()

    def new_folder(self) -> Path:
        """A place for a collection, not made yet."""
        return self._folder / uuid.uuid4().hex

    def adopt(self, name: str, entry: dict[str, Any], folder: Path) -> None:
        """Take over a shard's folder with its settings, in the place of whatever bears the name."""
        with self._lock:
            old = self._collections.pop(name, None)
            self._collections[name] = opened(name, folder, entry)
            self.save()
        if old is not None:
            old.destroy()

    def delete(self, name: str) -> bool:
        """Delete a collection with its aliases; an alias itself is no collection."""
        with self._lock:
            collection = self._collections.pop(name, None)
            if collection is None:
                return False
            self._aliases = {alias: target for alias, target in self._aliases.items() if target != name}
            self.save()
        collection.destroy()
        return True

    def aliases(self, collection: str | None = None) -> list[m.AliasDescription]:
        with self._lock:
            return [
                m.AliasDescription(alias_name=alias, collection_name=target)
                for alias, target in self._aliases.items()
                if collection in (None, target)
            ]

    def change_aliases(self, actions: list[Any]) -> None:
        """Run the actions in order; what was done before a failing one stays done."""
        with self._lock:
            try:
                for action in actions:
                    self._change_alias(action)
            finally:
                self.save()

    def _change_alias(self, action: Any) -> None:
        if isinstance(action, m.CreateAliasOperation):
            target, alias = action.create_alias.collection_name, action.create_alias.alias_name
            if target not in self._collections:
                raise missing_collection(target)
            self._refuse_taken(alias)
            self._aliases[alias] = target
        elif isinstance(action, m.DeleteAliasOperation):
            self._aliases.pop(action.delete_alias.alias_name, None)
        else:
            old, new = action.rename_alias.old_alias_name, action.rename_alias.new_alias_name
            if old not in self._aliases:
                raise ApiError(Failure.NOT_FOUND, f"Not found: Alias {old} does not exists!")
            self._refuse_taken(new)
            self._aliases[new] = self._aliases.pop(old)

    def _refuse_taken(self, name: str) -> None:
        if name in self._collections:
            raise ApiError(Failure.ALREADY_EXISTS, f"Wrong input: Collection `{name}` already exists!")

    def save(self) -> None:
        """Write the file whole, so that a killed server finds the old one or the new one."""
        with self._lock:
            collections = {name: described(collection) for name, collection in self._collections.items()}
            content = orjson.dumps({"collections": collections, "aliases": self._aliases})
            staged = self._folder / f"{FILE}.new"
            staged.write_bytes(content)
            staged.replace(self._folder / FILE)

    def _load(self) -> None:
        stored = orjson.loads((self._folder / FILE).read_bytes())
        self._aliases = stored["aliases"]
        for name, entry in stored["collections"].items():
            self._collections[name] = opened(name, self._folder / entry["folder"], entry)


def opened(name: str, folder: Path, entry: dict[str, Any]) -> Collection:
    """A collection from what `described` said of it."""
    config = m.CollectionConfig.model_validate(entry["config"])
    config.metadata = entry["metadata"]
    indexes = {field: INDEX_SCHEMA.validate_python(schema) for field, schema in entry["indexes"].items()}
    return Collection.open(name, folder, config, indexes)


def described(collection: Collection) -> dict[str, Any]:
    """Metadata stand apart: nulls inside them count, everywhere else a null says nothing."""
    config = collection.config.model_dump(mode="json", exclude_none=True, exclude={"metadata"})
    indexes = {
        field: INDEX_SCHEMA.dump_python(schema, mode="json", exclude_none=True)
        for field, schema in collection.indexes.items()
    }
    return {
        "folder": collection.folder.name,
        "config": config,
        "metadata": collection.config.metadata,
        "indexes": indexes,
    }
