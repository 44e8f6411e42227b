"""A run that is told to stop: a low-priority node is taken away, a job is cancelled, somebody presses Ctrl-C."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from torch import distributed

from bert_distillation.errors import PreemptedError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """Notes the signal and lets the processes agree on the step at which they stop. The second signal ends at once."""

    def __init__(self, accelerator: Accelerator):
        # Over the network and not over the device: asking costs a step no wait for the device.
        several = accelerator.num_processes > 1
        self.group = distributed.new_group(backend="gloo") if several else None
        self.told = False
        self.asked: tuple[torch.Tensor, Any] | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Preemption":
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()
        if self.asked is not None and kind in (None, PreemptedError):
            self.asked[1].wait()

    def agreed(self) -> bool:
        """Whether to stop after this step; the same answer in all processes, of one step ago where there are many."""
        if self.group is None:
            return self.told
        answer = False
        if self.asked is not None:
            told, work = self.asked
            work.wait()
            answer = bool(told.item())
        told = torch.tensor([int(self.told)])
        self.asked = (told, distributed.all_reduce(told, group=self.group, async_op=True))
        return answer

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.told = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def ignore_signals(worker: int) -> None:  # noqa: ARG001
    """For a process that prepares batches: the one that trains decides when it ends."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
