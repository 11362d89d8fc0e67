"""A detached process on this machine: started, recognised later, stopped with all it started."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dery_core.values import Value

_PROC = Path("/proc")
_KILL_SECONDS = 10.0  # a process inside a driver call ends only when that returns
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class ProcessId(Value):
    """A process id with the time of the process's birth: ids are used again, the pair is not."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        return cls(pid, _birth(pid) or "")

    @property
    def alive(self) -> bool:
        _reap()
        return bool(self.birth) and _birth(self.pid) == self.birth

    @property
    def leads_session(self) -> bool:
        """Whether the process was detached: its group holds it and what it started, no more."""
        try:
            return os.getsid(self.pid) == self.pid
        except OSError:
            return False

    def stop(self, grace: float) -> bool:
        """Ask the process to end; after `grace` seconds kill it and its group. Whether it ended."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILL_SECONDS)):
            if self.alive:
                self._signal(number)
            deadline = time.monotonic() + patience
            while self.alive and time.monotonic() < deadline:
                time.sleep(0.02)
        return not self.alive

    def _signal(self, number: signal.Signals) -> None:
        try:
            if self.leads_session:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass  # it ended meanwhile


def launch(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> ProcessId:
    """Start `command` in a session of its own, output appended to `log`: it outlives this process.

    Raises OSError when the log can't be opened or the process can't be started.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    _children.append(child)
    return ProcessId.of(child.pid)


def _reap() -> None:
    """Collect the ended among the processes started here, which otherwise stay as zombies."""
    _children[:] = [child for child in _children if child.poll() is None]


def _birth(pid: int) -> str | None:
    """When a living process was born: boot and clock ticks, or `ps`'s date where there is no
    /proc. None for a process that has ended, also if nobody has collected it yet."""
    if not _PROC.is_dir():
        return _birth_from_ps(pid)
    try:
        # The command's name, in parentheses, may hold spaces and parentheses itself.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}/{ticks}"


def _birth_from_ps(pid: int) -> str | None:
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, birth = shown.stdout.strip().partition(" ")
    return birth.strip() if state and not state.startswith("Z") else None
