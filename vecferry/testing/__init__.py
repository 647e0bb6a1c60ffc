"""What the author of a store needs to prove it: a conformance suite, and seeded data of every kind."""

from __future__ import annotations

import sys

# Asserts of the suites explain themselves only if pytest rewrites them; without pytest nothing is imported.
if "pytest" in sys.modules:
    _SUITES = ("rows", "source_suite", "limits_suite", "target_suite")
    sys.modules["pytest"].register_assert_rewrite(*(f"vecferry.testing.{name}" for name in _SUITES))
