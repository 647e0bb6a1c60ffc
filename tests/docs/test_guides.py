"""Each guide is followed from its first command to its last, against the servers that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Session
from tests.docs.pages import GUIDES, ROOT, blocks, named, text_of
from tests.docs.places import Places, running

QUICK = ("chromadb-data-pipes.md",)
"""Guides of the short run; the others start servers, which takes seconds."""

TOLD_ONLY = {"qdrant-to-milvus.md": 1}
"""Blocks that are not run, each with its reason on the page."""

PARTS = ("Who it is for", "What you need", "What the plan tells you", "What to check", "How to go back")


def guides() -> list[object]:
    """All guides, those beyond the short run marked."""
    return [pytest.param(page, marks=() if page.name in QUICK else pytest.mark.slow, id=page.name) for page in GUIDES]


@pytest.mark.slow
@pytest.mark.parametrize("page", guides())
def test_a_guide_does_what_it_says(page: Path, session: Session, tmp_path: Path) -> None:
    """Every command of the page runs in order, and prints the lines that the page shows."""
    with running(text_of(page), tmp_path) as places:
        session.places = places
        for block in blocks(page):
            if block.info in ("console", "python") and not block.not_run:
                session.run(block)


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_a_guide_has_all_its_parts(page: Path) -> None:
    """Who it is for, what it needs, what the plan says, what to check and how to go back: each has its heading."""
    headings = [line.lstrip("# ").strip() for line in text_of(page).splitlines() if line.startswith("#")]
    for part in PARTS:
        assert any(part in heading for heading in headings), part


def test_only_known_blocks_of_guides_are_not_run() -> None:
    """What is not run says why, and is counted."""
    found = {page.name: sum(bool(block.not_run) for block in blocks(page)) for page in GUIDES}
    assert {name: count for name, count in found.items() if count} == TOLD_ONLY


def test_every_guide_is_in_the_index() -> None:
    """A reader finds each guide from the front page of the documentation."""
    index = text_of(ROOT / "docs" / "index.md")
    assert [page.name for page in GUIDES if f"(guides/{page.name})" not in index] == []


def test_places_are_turned_there_and_back() -> None:
    """A server's URL in a command becomes that of a server that runs, and again the page's in what is printed."""
    places = Places([("localhost:8000", "127.0.0.1:41"), ("localhost:6333", "127.0.0.1:42")], (43, 42))
    command = "vecferry plan --source chroma://localhost:8000/docs --target 'qdrant://localhost:6334/docs?timeout_s=9'"
    real = places.here(command)
    assert real == (
        "vecferry plan --source chroma://127.0.0.1:41/docs --target 'qdrant://127.0.0.1:43/docs?rest_port=42&timeout_s=9'"
    )
    assert places.there(real) == command
    assert places.there(places.here("qdrant://localhost:6334/docs")) == "qdrant://localhost:6334/docs"
