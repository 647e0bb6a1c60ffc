"""Links between the pages lead somewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, named


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_of_a_page_resolve(page: Path) -> None:
    """Every relative link names a file of the repository, and every anchor a heading of it."""
    for target in links(page):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / unquote(path)).resolve() if path else page
        assert found.is_relative_to(ROOT), target
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    """No page is lost: following links from the README leads to all of them."""
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if "://" not in target]
    assert sorted(map(named, set(PAGES) - reached)) == []
