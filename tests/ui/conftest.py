"""What needs a browser is collected where there is one; `make test-all` says where there is none."""

from __future__ import annotations

from tests.ui.browser import PROGRAM

collect_ignore = [] if PROGRAM else ["test_clicks.py"]
