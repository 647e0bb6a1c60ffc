"""Children of the demo and the UI: ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.folders import exclusive
from deployments.local_server import ServerError
from deployments.processes import running
from tests.flows.helpers import eventually

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
FAMILY = f"""
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""
PARENT = """
import pathlib, sys, time
from deployments.processes import running, stopped_by_signals
folder = pathlib.Path(sys.argv[1])
command = [sys.executable, "-c", sys.argv[2], str(folder / "pid")]
with stopped_by_signals(), running(command, {}, folder / "log", folder):
    time.sleep(60)
"""


def grandchild_of(pid_file: Path) -> int:
    """The process that a child started, once it has."""
    return eventually(lambda: int(pid_file.read_text() or 0) or None if pid_file.exists() else None, "no grandchild")


def is_gone(pid: int) -> bool | None:
    """True once a process has ended; what waits for its parent to look counts as ended."""
    try:
        return True if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX" else None
    except FileNotFoundError:
        return True


def test_an_error_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    """After an error in the block neither the child nor a grandchild that ignores SIGTERM is left."""
    command = [sys.executable, "-c", FAMILY, str(tmp_path / "pid")]
    found = []

    def fail() -> None:
        with running(command, os.environ, tmp_path / "log", tmp_path) as child:
            found.extend([child.pid, grandchild_of(tmp_path / "pid")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(found) == 2
    assert all(eventually(lambda pid=pid: is_gone(pid), f"{pid} lives on") for pid in found)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_whole_family(tmp_path: Path, name: signal.Signals) -> None:
    """A program that is told to end takes its children and their children with it."""
    project = Path(__file__).parent.parent.parent
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), FAMILY], cwd=project)
    try:
        grandchild = grandchild_of(tmp_path / "pid")
        parent.send_signal(name)
        assert parent.wait(30) != 0
    finally:
        parent.kill()
        parent.wait()
    assert eventually(lambda: is_gone(grandchild), "the grandchild lives on")


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second run is refused while the first has the folder, and served after it."""
    with exclusive(tmp_path / "demo"), pytest.raises(ServerError, match="in use"), exclusive(tmp_path / "demo"):
        pass
    with exclusive(tmp_path / "demo") as folder:
        assert folder == tmp_path / "demo"
