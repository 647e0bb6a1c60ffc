"""The code of README and guides is run, page by page, and prints what the pages show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.docs.console import Session
from tests.docs.data import making_data
from tests.docs.pages import GUIDES, PAGES, ROOT, Block, blocks, named

# Blocks of these pages are run by tests of their own, which know the names in them.
ELSEWHERE = {
    "docs/archive-format.md": "tests/archive/test_docs.py",
    **{named(guide): "tests/docs/test_guides.py" for guide in GUIDES},
    "docs/rolling-workspaces.md": "tests/docs/test_rolling.py",
}
LANGUAGES = ("console", "python")
TOLD_ONLY = {
    "CONTRIBUTING.md": 3,
    "README.md": 1,
    "docs/getting-started.md": 2,
    "docs/loopback-qdrant.md": 1,
    "docs/prefect.md": 9,
    "docs/stores/chroma.md": 2,
    "docs/stores/milvus.md": 3,
    "docs/stores/qdrant.md": 2,
    "docs/sync.md": 1,
}
"""Blocks that are not run, each with its reason on the page. A block that is added here should have a good one."""


def code(page: Path) -> list[Block]:
    """The blocks of commands and Python of a page."""
    return [block for block in blocks(page) if block.info.split(" ")[0] in LANGUAGES and named(page) not in ELSEWHERE]


RUNNING = [page for page in PAGES if any(not block.not_run for block in code(page))]


LONG = (
    "docs/getting-started.md",
    "docs/many-collections.md",
    "docs/runbook.md",
    "docs/stores/chroma.md",
    "docs/stores/milvus.md",
    "docs/stores/qdrant.md",
)
"""Pages of many migrations, for the long run."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if named(page) in LONG else (), id=named(page)) for page in RUNNING],
)
def test_the_blocks_of_a_page_run_from_top_to_bottom(page: Path, session: Session) -> None:
    """Each command does what its page says, and prints the lines that it shows."""
    told = [block for block in code(page) if not block.not_run]
    for block in told if making_data() in told else [making_data(), *told]:
        session.run(block)


def test_only_known_blocks_are_not_run() -> None:
    """What is not run says why, and is counted."""
    found = Counter(named(block.page) for page in PAGES for block in code(page) if block.not_run)
    assert found == TOLD_ONLY


def test_pages_that_are_run_elsewhere_are_there() -> None:
    """The exceptions name pages and tests that exist."""
    for page, tests in ELSEWHERE.items():
        assert (ROOT / page).exists()
        assert (ROOT / tests).exists()


def test_a_line_that_is_not_printed_is_seen(session: Session) -> None:
    """The runner itself tells a page that promises too much."""
    block = Block(ROOT / "README.md", 1, "console", "$ vecferry route nowhere\nqdrant://somewhere\n", "")
    with pytest.raises(AssertionError, match="not printed: qdrant://somewhere"):
        session.run(block)


def test_a_line_that_a_page_leaves_out_is_seen(session: Session) -> None:
    """Output that is not shown has to be marked as left out."""
    block = Block(ROOT / "README.md", 1, "console", "$ vecferry route nowhere\n", "")
    session.run(block)
    longer = Block(
        ROOT / "README.md", 1, "console", "$ vecferry route nowhere\nerror: no route is named 'nowhere'\n", ""
    )
    with pytest.raises(AssertionError, match="printed as well"):
        session.run(longer)
