"""The nodes' logs in their pipeline's log, while they are written."""

import threading
from pathlib import Path
from typing import Any

EXECUTION_LOG = Path("logs") / "azureml" / "executionlogs.txt"


class LiveLog:
    """Remembers how far each log was read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[Path, int] = {}  # bytes

    def follow(self, pipeline: Path, nodes: dict[str, dict[str, Any]]) -> None:
        """Append what the nodes have written since the last time, a line as `[node] line`.

        pipeline: the pipeline's log folder. nodes: by name, each with its `log_folder`.
        """
        with self._lock:
            lines = [
                f"[{node}] {line}\n"
                for node, run in nodes.items()
                for log in sorted(Path(run.get("log_folder") or "-").glob("user_logs/*.txt"))
                for line in self._new_lines(log)
            ]
            target = pipeline / EXECUTION_LOG
            if lines and target.exists():
                with target.open("a") as stream:
                    stream.write("".join(lines))

    def _new_lines(self, log: Path) -> list[str]:
        """The whole lines since the last time; of a line that was written over, what remained."""
        with log.open("rb") as stream:
            stream.seek(self._read.get(log, 0))
            text = stream.read()
        whole, ending, _ = text.rpartition(b"\n")
        self._read[log] = self._read.get(log, 0) + len(whole) + len(ending)
        lines = whole.decode(errors="replace").split("\n") if ending else []
        return [line.rstrip("\r").rpartition("\r")[2] for line in lines]
