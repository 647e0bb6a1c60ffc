"""Packages that the tests run beside themselves, each in an environment of its own.

It is made of a list of pinned wheels beside this file, once, below `VECFERRY_TEST_CACHE` (otherwise
`~/.cache/vecferry`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MILVUS_REFEREE", "OLD_MILVUS_LITE", "OwnEnvironment"]

_INSTALL_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class OwnEnvironment:
    """The environment of `NAME.txt`."""

    name: str

    @property
    def programs(self) -> Path:
        """The folder of its programs; `python` is one."""
        return self._home / "environment" / "bin"

    def why_not(self) -> str | None:
        """Why it cannot be used now, or None. Nothing is installed for the answer."""
        if self._is_installed():
            return None
        failed = self._home / "failed.txt"
        return f"it could not be installed: {failed.read_text()}" if failed.is_file() else "it is not installed"

    def install(self) -> str | None:
        """Make it, once; what `why_not` says afterwards."""
        if not self._is_installed():
            self._home.mkdir(parents=True, exist_ok=True)
            with (self._home / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self._is_installed():
                    self._install()
        return self.why_not()

    @property
    def _home(self) -> Path:
        cache = os.environ.get("VECFERRY_TEST_CACHE") or Path.home() / ".cache" / "vecferry"
        return Path(cache) / self.name

    @property
    def _pinned(self) -> Path:
        return Path(__file__).with_name(f"{self.name}.txt")

    def _is_installed(self) -> bool:
        """Whether it was made of the versions that are pinned now."""
        stamp = self._home / "installed.txt"
        return stamp.is_file() and stamp.read_bytes() == self._pinned.read_bytes()

    def _install(self) -> None:
        failed, pip = self._home / "failed.txt", [self.programs / "python", "-m", "pip", "install", "--quiet"]
        commands = [
            [sys.executable, "-m", "venv", "--clear", self.programs.parent],
            [*pip, "--require-hashes", "--no-deps", "-r", self._pinned],
        ]
        try:
            for command in commands:
                words = list(map(str, command))
                subprocess.run(words, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            failed.write_text(f"no end after {_INSTALL_TIMEOUT_S:g} s")
        except subprocess.CalledProcessError as error:
            failed.write_text((error.stderr.strip() or str(error)).splitlines()[-1])
        else:
            failed.unlink(missing_ok=True)
            shutil.copy(self._pinned, self._home / "installed.txt")


MILVUS_REFEREE = OwnEnvironment("milvus-referee")
OLD_MILVUS_LITE = OwnEnvironment("milvus-lite-2")
