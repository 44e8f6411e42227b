"""Ends the processes of a workspace that has died, however it died.

Runs beside the workspace as a process of its own. Standard input has a line `+<group> <marker>` for each process group
that is started and `-<group> <marker>` for each that has ended; when the workspace is gone the pipe closes, and what is
left is ended. The marker is in the environment of every process of the group: one that has left the group for a session
of its own is found by it, where the system shows environments (/proc).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MARKER = "AZUREML_LOCAL_GROUP"
GRACE_SECONDS = 5.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
LAST_LOOKS = 100


class Group(NamedTuple):
    """A process group, and what its processes have in their environment."""

    number: int
    marker: str


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group (0 only asks); False when there is no process in it any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers "not permitted" for a group of zombies
        return False
    return True


def signal_process(process: int, number: int) -> bool:
    """Send a signal to a process (0 only asks); False when there is none."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_groups(groups: Iterable[Group], taken: Iterable[Group] = ()) -> None:
    """Ask all processes of the groups to end, and kill what is left of them after `GRACE_SECONDS`.

    taken: those whose numbers belong to others by now; of them only processes in sessions of their own are ended.
    """
    groups = list(groups)
    left = [group for group in groups if group not in taken and signal_group(group.number, signal.SIGTERM)]
    strays = _strays(groups)
    _signal_all(strays, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    pause = SHORTEST_PAUSE
    while (left or strays) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE)
        left = [group for group in left if signal_group(group.number, 0) and _lives(group.number)]
        strays = {pid for pid in strays if _state(Path(f"/proc/{pid}/stat"))[0] not in {"", "Z", "X"}}
    for group in left:
        signal_group(group.number, signal.SIGKILL)
    for _ in range(LAST_LOOKS):  # what was asked to end may have started others
        if not (strays := _strays(groups)):
            return
        _signal_all(strays, signal.SIGKILL)
        time.sleep(SHORTEST_PAUSE)


def _strays(groups: Iterable[Group]) -> set[int]:
    """The processes that bear a group's marker and are not in the group."""
    markers = {f"{MARKER}={group.marker}".encode(): group.number for group in groups}
    found = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            marked = markers.keys() & set(file.read_bytes().split(b"\0"))
        except OSError:  # another user's, or it has ended meanwhile
            continue
        _, group = _state(file.with_name("stat"))
        if any(markers[marker] != group for marker in marked):
            found.add(int(file.parent.name))
    return found


def _is_taken(group: Group) -> bool:
    """Whether the number of a group whose processes have all ended is that of somebody else's process by now."""
    place = Path(f"/proc/{group.number}")
    try:
        variables = place.joinpath("environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return _state(place / "stat")[0] != "Z" and f"{MARKER}={group.marker}".encode() not in variables


def _signal_all(processes: Iterable[int], number: int) -> None:
    for process in processes:
        signal_process(process, number)


def _lives(group: int) -> bool:
    """Whether a group has more than zombies: in a container, the first process may never collect those left to it."""
    states = [_state(stat) for stat in Path("/proc").glob("[0-9]*/stat")]
    return not states or any(number == group and state not in {"", "Z", "X"} for state, number in states)


def _state(stat: Path) -> tuple[str, int]:
    """The state of a process as one letter, and its group; "" and 0 for one that has ended meanwhile."""
    try:
        state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return "", 0
    return state, int(group)


def main() -> None:
    """Follow the groups on standard input; end them when it closes."""
    groups: set[Group] = set()
    for line in sys.stdin:
        number, marker = line[1:].split()
        (groups.add if line.startswith("+") else groups.discard)(Group(int(number), marker))
    end_groups(groups, {group for group in groups if _is_taken(group)})


if __name__ == "__main__":
    main()
