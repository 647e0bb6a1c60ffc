"""The tests of any server, run beside a Milvus 2.3.5 standalone of their own, in a network of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import milvus_referee

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_HERE = Path(__file__).parent
_ANY_SERVER = (
    "test_conformance.py::TestServer",
    "test_fields.py",
    "test_partitions.py",
    "test_aliases.py",
    "test_narrowing.py",
)
_TIMEOUT_S = 1400.0


@pytest.mark.parametrize(
    ("tokens", "tests"),
    [(False, (*_ANY_SERVER, "test_real_server.py")), (True, ("test_tokens.py",))],
    ids=["open", "with tokens"],
)
def test_milvus_2_3_5_agrees(tokens: bool, tests: tuple[str, ...]) -> None:
    """Conformance, fields, partitions, aliases, limits and consistency hold on the engine, and so do tokens."""
    # Most of the time is waiting for the server, so that several workers do not need several cores.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--timeout", "600"]
    run = milvus_referee.run_beside(
        [*command, *(str(_HERE / test) for test in tests)], tokens=tokens, timeout_s=_TIMEOUT_S
    )
    assert run.returncode == 0, run.stdout
