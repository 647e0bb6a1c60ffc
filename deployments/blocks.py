"""The block type for stores, made known to a server: `python -m deployments.blocks`. Its form is then in the UI."""

from __future__ import annotations

import sys

from deployments.console import say
from flows.blocks import VecferryStore

__all__ = ["main", "register"]


def register() -> str:
    """Register the type, or bring it up to date; its name, as the UI shows it."""
    VecferryStore.register_type_and_schema()
    return str(VecferryStore.get_block_type_slug())


def main() -> int:
    """Do it on the server that the environment names; the exit code."""
    say(f"registered: {register()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
