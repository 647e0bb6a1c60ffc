"""The servers that pages name, and where they really run: loopback, on free ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.chroma_server import ChromaServer
from tests.support.milvus_server import MilvusServer
from tests.support.qdrant_server import QdrantServer

__all__ = ["NOWHERE", "Places", "running"]

_NAME = r"(?P<name>[^\s'\"?)]+)"
_OPTIONS = r"(?P<options>[^\s'\")]+)"


@dataclass(frozen=True)
class Places:
    """`here` turns what a page names into what runs, `there` turns it back in what was printed.

    `texts` are pairs of plain text; a Qdrant server's second port goes into the URL as an option.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    qdrant: tuple[int, int] | None = None

    def here(self, text: str) -> str:
        """A page's text with the ports that are listened on."""
        if self.qdrant:
            grpc, rest = self.qdrant
            pattern = rf"qdrant://localhost:6334/{_NAME}(\?{_OPTIONS})?"
            text = re.sub(pattern, lambda found: _joined(f"qdrant://127.0.0.1:{grpc}/", found, rest), text)
        for page, real in self.texts:
            text = text.replace(page, real)
        return text

    def there(self, text: str) -> str:
        """What was printed, with the ports that pages name."""
        if self.qdrant:
            grpc, rest = self.qdrant
            pattern = rf"qdrant://127\.0\.0\.1:{grpc}/{_NAME}\?rest_port={rest}(&{_OPTIONS})?"
            text = re.sub(pattern, lambda found: _joined("qdrant://localhost:6334/", found, None), text)
        for page, real in self.texts:
            text = text.replace(real, page)
        return text


def _joined(base: str, found: re.Match[str], rest_port: int | None) -> str:
    options = [] if rest_port is None else [f"rest_port={rest_port}"]
    options += [found["options"]] if found["options"] else []
    return base + found["name"] + ("?" + "&".join(options) if options else "")


NOWHERE = Places()
"""A page without servers."""


@contextmanager
def running(page: str, folder: Path) -> Iterator[Places]:
    """The servers that a page's text names, started for as long as the context lasts."""
    texts: list[tuple[str, str]] = []
    ports = None
    with ExitStack() as stack:
        if "localhost:6334" in page:
            qdrant = stack.enter_context(QdrantServer(folder / "qdrant-server"))
            ports = (qdrant.grpc_port, qdrant.rest_port)
            texts += _pairs(6334, ports[0]) + _pairs(6333, ports[1])
        if "localhost:8000" in page:
            texts += _pairs(8000, stack.enter_context(ChromaServer(folder / "chroma-server")).port)
        if "localhost:19530" in page:
            texts += _pairs(19530, stack.enter_context(MilvusServer(folder / "milvus-server")).port)
        yield Places(texts, ports)


def _pairs(page: int, real: int) -> list[tuple[str, str]]:
    """As URLs say it, and as the arguments of clients do."""
    return [(f"localhost:{page}", f"127.0.0.1:{real}"), (f'"localhost", port={page}', f'"127.0.0.1", port={real}')]
