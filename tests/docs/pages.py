"""The documentation as data: pages, their code blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GUIDES", "PAGES", "ROOT", "Block", "anchors", "blocks", "links", "named", "text_of"]

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
GUIDES = tuple(sorted((ROOT / "docs" / "guides").glob("*.md")))

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^\n]+) -->\n+$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands behind its fence, its text, and why it is not run (`""`: it is)."""

    page: Path
    line: int
    info: str
    body: str
    not_run: str


def named(page: Path) -> str:
    """A page as the repository names it."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """A page's text."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = text_of(page)
    for found in _FENCE.finditer(text):
        before = text[: found.start()]
        reason = _NOT_RUN.search(before)
        line = before.count("\n") + 1
        yield Block(page, line, found["info"].strip(), found["body"], reason["reason"] if reason else "")


def _prose(page: Path) -> str:
    return _FENCE.sub("", text_of(page))


def links(page: Path) -> Iterator[str]:
    """Where a page's links lead, outside of code."""
    for found in _LINK.finditer(_prose(page)):
        yield found["target"]


def anchors(page: Path) -> set[str]:
    """The anchors that its headings give, as GitHub makes them."""
    titles = (found["title"] for found in _HEADING.finditer(_prose(page)))
    return {_NOT_IN_ANCHORS.sub("", title.strip().lower()).replace(" ", "-") for title in titles}
