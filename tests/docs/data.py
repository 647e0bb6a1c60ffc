"""The data of the documentation: those that `docs/getting-started.md` makes."""

from __future__ import annotations

from tests.docs.pages import ROOT, Block, blocks

__all__ = ["making_data"]


def making_data() -> Block:
    """The code block that writes `/data/old`."""
    return next(block for block in blocks(ROOT / "docs" / "getting-started.md") if block.info == "python")
