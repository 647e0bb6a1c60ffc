"""Who holds a lease, and whether that process is provably dead."""

from __future__ import annotations

import getpass
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Holder"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A process: `pid` counts within `pid_namespace` since the boot `boot_id`; `started_ticks` tells pids used
    twice apart. Both texts are empty and `started_ticks` 0 where the system does not say. `purpose` is for people.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started_ticks: int
    user: str
    purpose: str = ""

    @classmethod
    def here(cls, purpose: str = "") -> Holder:
        """This process."""
        state = _process(os.getpid())
        started_ticks = state[1] if state else 0
        return cls(platform.node(), _boot_id(), _pid_namespace(), os.getpid(), started_ticks, _user(), purpose)

    def is_dead(self) -> bool:
        """True only when it is certain: same kernel, same table of processes, and the process is not in it.

        A holder elsewhere, or on a machine that was started anew, is not judged; its lease expires.
        """
        if not self.started_ticks or self._place() != Holder.here()._place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        now = _process(self.pid)
        return now is not None and (now[0] in "ZX" or now[1] != self.started_ticks)

    def _place(self) -> tuple[str, str, str]:
        return self.host, self.boot_id, self.pid_namespace

    @property
    def actor(self) -> str:
        """Short text for the audit trail."""
        return f"{self.user}@{self.host} pid {self.pid}"

    def __str__(self) -> str:
        return f"{self.purpose} ({self.actor})" if self.purpose else self.actor


def _process(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process; None where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    # Containers on one machine share the boot, not the table of processes.
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
