"""Ends the process groups of a workspace that has died, however it died.

Runs beside the workspace as a process of its own. Standard input has a line `+<group>` for each process group that is
started and `-<group>` for each that has ended; when the workspace is gone the pipe closes, and what is left is ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

GRACE_SECONDS = 5.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.2


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group (0 only asks); False when there is no process in it any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers "not permitted" for a group of zombies
        return False
    return True


def end_groups(groups: Iterable[int]) -> None:
    """Ask all groups to end, and kill what is left of them after `GRACE_SECONDS`."""
    left = [group for group in groups if signal_group(group, signal.SIGTERM)]
    deadline = time.monotonic() + GRACE_SECONDS
    pause = SHORTEST_PAUSE
    while left and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE)
        left = [group for group in left if signal_group(group, 0) and _lives(group)]
    for group in left:
        signal_group(group, signal.SIGKILL)


def _lives(group: int) -> bool:
    """Whether a group has more than zombies: in a container, the first process may never collect those left to it."""
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    return not stats or any(_state(stat, group) not in {"", "Z", "X"} for stat in stats)


def _state(stat: Path, group: int) -> str:
    """The state of a process of this group, as one letter; empty for a process of another group."""
    try:
        state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):  # it has ended meanwhile
        return ""
    return state if int(process_group) == group else ""


def main() -> None:
    """Follow the groups on standard input; end them when it closes."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    end_groups(groups)


if __name__ == "__main__":
    main()
