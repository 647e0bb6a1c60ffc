"""`docs/rolling-workspaces.md`, followed from its first command to its last against the servers that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Session
from tests.docs.pages import ROOT, blocks, text_of
from tests.docs.places import running

PAGE = ROOT / "docs" / "rolling-workspaces.md"


@pytest.mark.slow
def test_the_page_on_workspaces_does_what_it_says(session: Session, tmp_path: Path) -> None:
    """Every command of the page runs in order, and prints the lines that the page shows."""
    with running(text_of(PAGE), tmp_path) as places:
        session.places = places
        for block in blocks(PAGE):
            session.run(block)
