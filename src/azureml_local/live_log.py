"""The nodes' logs in their pipeline's log, while they are written."""

import threading
from pathlib import Path
from typing import Any, BinaryIO

from azureml_local.engine.changes import FINAL

EXECUTION_LOG = Path("logs") / "azureml" / "executionlogs.txt"
PIECE = 1 << 20  # bytes that are read at once; a longer line comes in several


class LiveLog:
    """Remembers how far each log was read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[Path, int] = {}  # bytes

    def follow(self, pipeline: Path, nodes: dict[str, dict[str, Any]]) -> None:
        """Append what the nodes have written since the last time, a line as `[node] line`.

        pipeline: the pipeline's log folder. nodes: by name, each with its `log_folder` and its `status`; of one that
        has ended, a last line without an end is a line, too.
        """
        target = pipeline / EXECUTION_LOG
        with self._lock:
            if not target.exists():
                return
            with target.open("ab", buffering=0) as stream:
                for node, run in nodes.items():
                    for log in sorted(Path(run.get("log_folder") or "-").glob("user_logs/*.txt")):
                        self._append_new_lines(stream, node, log, run.get("status") in FINAL)

    def _append_new_lines(self, target: BinaryIO, node: str, log: Path, has_ended: bool) -> None:
        """Append the whole lines since the last time; of a line that was written over, what remained."""
        start = self._read.get(log, 0)
        with log.open("rb") as stream:
            stream.seek(start)
            while piece := stream.read(PIECE):
                end = piece.rfind(b"\n") + 1
                if not end and len(piece) < PIECE and not has_ended:  # the rest of the line is still to come
                    return
                piece = piece[:end] if end else piece
                lines = piece.removesuffix(b"\n").decode(errors="replace").split("\n")
                shown = (line.rstrip("\r").rpartition("\r")[2] for line in lines)
                target.write("".join(f"[{node}] {line}\n" for line in shown).encode())
                self._read[log] = start = start + len(piece)
                stream.seek(start)
