"""Where a collection is: a store's URL taken apart, without secrets in its text."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from vecferry.errors import BadOption

__all__ = ["Address", "above", "below", "join_collection", "parse"]

_SECRET_WORDS = ("key", "token", "password", "secret")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. `path` is percent-decoded; `options` are the query's; `secrets` never appear in `str()`.

    `scheme:relative/path` is allowed for stores of files; it is kept absolute.
    `trusted`: files that could run a program when they are opened may be opened. Never part of a URL.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    raw_path: str = ""
    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    trusted: bool = False

    def __str__(self) -> str:
        authority = f"//{self.host}" + (f":{self.port}" if self.port else "") if self.host else ""
        if not authority and self.raw_path.startswith("/"):
            authority = "//"
        query = "&".join(f"{quote(name)}={quote(value, safe='/:')}" for name, value in self.options.items())
        return f"{self.scheme}:{authority}{self.raw_path}" + (f"?{query}" if query else "")

    @property
    def file(self) -> Path:
        """The path as a file or folder, for stores whose URL names one."""
        return Path(self.path)

    def collection(self) -> str:
        """The percent-decoded last segment: the collection of a server's or folder's URL (BadOption if absent)."""
        name = unquote(self.raw_path.rstrip("/").rpartition("/")[2])
        if not name:
            raise BadOption(f"{self} names no collection", advice=f"write it last: {str(self).rstrip('/')}/COLLECTION")
        return name

    @property
    def name(self) -> str:
        """The percent-decoded last segment, or `collection` where there is none."""
        return unquote(self.raw_path.rstrip("/").rpartition("/")[2]) or "collection"

    def folder(self) -> Path:
        """The path without its last segment: the folder of an embedded store."""
        return Path(unquote(self.raw_path.rstrip("/").rpartition("/")[0]))

    def positive(self, option: str, default: float) -> float:
        """A positive number among the options (BadOption for anything else)."""
        try:
            found = float(self.options.get(option, default))
        except ValueError:
            found = -1.0
        if not 0 < found < float("inf"):
            raise BadOption(f"{option}={self.options[option]} is not a positive number")
        return found

    def only_options(self, *known: str) -> None:
        """Refuse options that this store does not take (BadOption)."""
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            taken = ", ".join(known) or "none"
            raise BadOption(f"{self.scheme}:// takes no option {unknown[0]!r}", advice=f"options it takes: {taken}")


def parse(url: str, secrets: dict[str, str] | None = None) -> Address:
    """Take a store URL apart. Raises BadOption for no scheme, a bad port, or a secret written into the URL."""
    scheme, colon, rest = url.partition(":")
    if not colon or not scheme or "/" in scheme:
        raise BadOption(
            f"{url!r} is not a store URL", advice="`vecferry stores` lists the forms, for example numpy:///data/vectors"
        )
    parts = urlsplit("x:" + rest)
    try:
        port = parts.port
    except ValueError:
        raise BadOption(f"{url!r} has a port that is not a number") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    _refuse_secrets(parts.username, options)
    host = parts.hostname or ""
    path = parts.path if host else _absolute(parts.path)
    return Address(scheme.lower(), host, port, unquote(path), path, options, secrets or {})


def _absolute(path: str) -> str:
    """One spelling of a local path, the same from every folder: a ledger entry must mean one place for good."""
    if path and not path.startswith("/"):
        path = posixpath.normpath(posixpath.join(quote(str(Path.cwd())), path))
    return re.sub("/+", "/", path)


def _refuse_secrets(username: str | None, options: dict[str, str]) -> None:
    named = [name for name in options if any(word in name.lower() for word in _SECRET_WORDS)]
    if username is not None or named:
        raise BadOption(
            "a secret stands in the URL, where logs and process lists would show it",
            advice="pass it by reference: --source-key-env NAME, or api_key: {env: NAME} in the migration file",
        )


def join_collection(base: str, collection: str) -> str:
    """The URL of a collection below a base URL, its name percent-encoded."""
    head, mark, query = base.partition("?")
    return f"{head.rstrip('/')}/{quote(collection, safe='')}{mark}{query}"


def above(collection: Address) -> Address:
    """The address of the store (or folder) that a collection is in."""
    raw_path = collection.raw_path.rstrip("/").rpartition("/")[0]
    return replace(collection, raw_path=raw_path, path=unquote(raw_path))


def below(store: Address, collection: str, **options: str) -> Address:
    """A collection's address below its store's, with the secrets and options of the store, and these `options`."""
    named = parse(join_collection(str(store), collection), store.secrets)
    return replace(named, options={**named.options, **options}, trusted=store.trusted)
