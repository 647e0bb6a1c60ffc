"""What is loaded when, and who may import whom."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("prefect", "qdrant_client", "qdrant_edge", "grpc", "chromadb", "pandas")
TIMEOUT_S = 60.0

LOADED = """
import json, sys
{statement}
print(json.dumps([name for name in {heavy} if name in sys.modules]))
"""


def _loaded(statement: str) -> list[str]:
    """Which heavy packages a fresh process has after this statement."""
    code = LOADED.format(statement=statement, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=TIMEOUT_S, check=True, cwd=ROOT)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "import vecferry",
        "from vecferry.cli.main import main; main(['--help'])",
        "from vecferry.cli.main import main; main(['migrate', '--help'])",
    ],
)
def test_help_loads_no_driver_no_prefect_and_no_pandas(statement: str) -> None:
    """Importing the package and asking for help cost next to nothing."""
    assert _loaded(statement) == []


def test_asking_for_a_route_loads_no_driver(tmp_path: Path) -> None:
    """Applications ask for a route often: it needs the ledger alone."""
    ledger = tmp_path / "ledger.db"
    statement = f"from vecferry.cli.main import main; main(['route', 'docs', '--ledger', {str(ledger)!r}])"
    assert _loaded(statement) == []


def test_the_core_loads_no_driver_and_no_prefect() -> None:
    """All of the core, every store's table of URLs included, without one driver."""
    names = ("operations.migrations", "operations.routes", "operations.backups", "operations.look", "operations.report")
    statement = "; ".join(f"import vecferry.{name}" for name in names)
    assert set(_loaded(statement)) <= {"pandas"}


def test_imports_run_one_way() -> None:
    """The layers, the drivers' places and Prefect's are as pyproject.toml says, checked by import-linter."""
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [lint, "--no-cache"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_module_of_the_core_stands_in_a_layer() -> None:
    """A new module must be given its place before it can be imported from anywhere."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    placed = {name.strip() for layer in layers for name in layer.replace(":", "|").split("|")}
    core = ROOT / "vecferry"
    modules = {f"vecferry.{path.stem}" for path in core.glob("*.py") if path.stem != "__init__"}
    packages = {f"vecferry.{path.parent.name}" for path in core.glob("*/__init__.py")}
    assert (modules | packages) - placed == set()
