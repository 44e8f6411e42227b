"""The log of a training run: a line, a row of `training_log.jsonl` and MLflow metrics at each logging step."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from bert_distillation.errors import InputError
from bert_distillation.mlflow_run import log_metrics, logged_steps
from bert_distillation.tracking import LOG_FILE, PARTIAL, write_jsonl
from bert_distillation.watch import SpikeCounter

TOLD_EVERY = 10  # seconds
WAY_OUT = "Lower --learning_rate, raise --warmup_ratio, or use --mixed_precision no."  # of losses that are none
LONG_WAIT = 0.1  # share of the time from which a line says that training waits for data

T = TypeVar("T")


class TrainingLog:
    """Collects sums on the device and fetches them only when a line is written."""

    def __init__(self, folder: Path, weights: dict[str, float]):
        self.folder, self.weights = folder, weights
        self.file = folder / f"{LOG_FILE}{PARTIAL}"  # until the model is there
        self.rows: list[dict[str, float]] = []
        self.sums: dict[str, Tensor | float] = {}
        self.counts: dict[str, Tensor | float] = {}
        self.tokens: Tensor | float = 0
        self.spikes = SpikeCounter()
        self.skipped_steps = self.empty_batches = 0
        self.learning_rate = 0.0
        self.seconds_waited = 0.0
        self.last_checkpoint: Path | None = None

    def start(self, step: int, last_step: int) -> None:
        """Begin after `step`, in every process."""
        self.last_step, self.step, self.clock = last_step, step, time.monotonic()

    def restore(self) -> None:
        """Give the file, and the MLflow run, the lines that they lack; in the first process."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(self.file, self.rows)
        self.logged_before = logged_steps("loss")
        for row in self.rows:
            self._log_row(row)

    def state(self) -> dict[str, Any]:
        """What this process has counted since the last line, and from the start."""
        numbers = {name: float(value) for name, value in self.sums.items()}
        counts = {name: int(value) for name, value in self.counts.items()}
        totals = {"skipped_steps": self.skipped_steps, "empty_batches": self.empty_batches}
        parts = {"sums": numbers, "counts": counts, "spikes": self.spikes.state(), "learning_rate": self.learning_rate}
        return parts | totals

    def load(self, states: list[dict[str, Any]], rows: list[dict[str, float]], accelerator: Accelerator) -> None:
        """Go on from the states of all processes. Where they were more or fewer, the first takes all their sums."""
        rank, self.rows = accelerator.process_index, rows
        own = states[min(rank, len(states) - 1)]
        self.counts, self.skipped_steps = dict(own["counts"]), own["skipped_steps"]
        self.learning_rate = own.get("learning_rate", 0.0)
        self.spikes.load(own["spikes"], scale=len(states) / accelerator.num_processes)
        if len(states) == accelerator.num_processes:
            self.sums, self.empty_batches = dict(own["sums"]), own["empty_batches"]
            return
        is_first = float(rank == 0)
        self.spikes.spikes = int(is_first * sum(state["spikes"]["spikes"] for state in states))
        self.sums = {name: is_first * sum(state["sums"][name] for state in states) for name in own["sums"]}
        self.empty_batches = int(is_first * sum(state["empty_batches"] for state in states))

    def waiting_for(self, steps: Iterator[T]) -> Iterator[T]:
        """The same steps, with the time counted in which training had none: what a GPU waited for data, at most."""
        while True:
            start = time.monotonic()
            step = next(steps, None)
            if step is None:
                return
            self.seconds_waited += time.monotonic() - start
            yield step

    def begin(self, tokens: Tensor, learning_rate: float) -> None:
        """Count an optimizer step that is to be taken with this learning rate; tokens: of all processes."""
        self.tokens = self.tokens + tokens
        self.learning_rate = learning_rate

    def add(self, sums: dict[str, Tensor], counts: dict[str, Tensor]) -> None:
        """Add the losses of a step that was taken: sums of this process, counts of all."""
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value
            self.counts[name] = self.counts.get(name, 0) + counts[name]
        parts = [weight * sums[name] / counts[name] for name, weight in self.weights.items()]
        self.spikes.add(torch.stack(parts).sum())

    def write(self, step: int, accelerator: Accelerator) -> None:
        """Write what came since the last line, if a step was taken; a loss that is not finite ends the run."""
        if not self.sums:
            if accelerator.is_main_process:
                print(f"step {step}/{self.last_step} | left out in fp16: {self.skipped_steps} steps so far", flush=True)
            return
        names = list(self.sums)
        local = [self.sums[name] for name in names] + [self.spikes.spikes, self.empty_batches]
        numbers = torch.stack([torch.as_tensor(x, device=accelerator.device).float() for x in local])
        totals = accelerator.reduce(numbers, reduction="sum").tolist()
        means = {name: total / float(self.counts[name]) for name, total in zip(names, totals[:-2], strict=True)}
        loss = sum(self.weights[name] * mean for name, mean in means.items())
        if not math.isfinite(loss):
            raise self.not_finite(f"The loss is {loss}", step)
        now = time.monotonic()
        rate = int(self.tokens) / max(now - self.clock, 1e-9)
        seconds_left = (now - self.clock) / max(step - self.step, 1) * (self.last_step - step)
        row = {"step": step, "loss": loss} | {f"loss_{name}": mean for name, mean in means.items()}
        row |= {"learning_rate": self.learning_rate, "tokens_per_second": rate}
        row["data_wait_share"] = self.seconds_waited / max(now - self.clock, 1e-9)
        row |= {"spikes": totals[-2], "empty_batches": totals[-1], "skipped_steps": self.skipped_steps}
        if accelerator.is_main_process:
            print(log_line(row, self.last_step, seconds_left), flush=True)
            with self.file.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            self.rows.append(row)
            self._log_row(row)
        self.sums, self.counts, self.tokens = {}, {}, 0
        self.step, self.clock, self.seconds_waited = step, now, 0.0

    def require_finite(self, step: int, parameters: Sequence[Tensor]) -> None:
        """Refuse weights that are not numbers, before they become a checkpoint or the model. Waits for the device."""
        if not torch.stack([parameter.detach().isfinite().all() for parameter in parameters]).all():
            raise self.not_finite("The weights are not finite", step)

    def not_finite(self, what: str, step: int, way_out: str = WAY_OUT) -> InputError:
        """The end of a run whose numbers are none any more."""
        if self.last_checkpoint is None:
            good = "There is no checkpoint before it."
        else:
            good = f"The last good checkpoint is {self.last_checkpoint}."
        return InputError(f"{what} at step {step} (learning rate {self.learning_rate:.2g}). {good} {way_out}")

    def _log_row(self, row: dict[str, float]) -> None:
        """To MLflow, unless the run has this step from before it was interrupted."""
        if row["step"] not in self.logged_before:
            log_metrics({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))


def log_line(row: dict[str, float], last_step: int, seconds_left: float) -> str:
    """One line with units and both ends."""
    parts = " ".join(f"{name[5:]} {value:.3f}" for name, value in row.items() if name.startswith("loss_"))
    wait = row.get("data_wait_share", 0.0)
    return (
        f"step {row['step']}/{last_step} | loss {row['loss']:.3f} ({parts}) | lr {row['learning_rate']:.1e} | "
        f"{row['tokens_per_second'] / 1000:.1f}k tokens/s | {duration(seconds_left)} left"
        + (f" | {wait:.0%} of the time spent waiting for data: raise dataloader_workers" if wait > LONG_WAIT else "")
    )


def told(parts: Iterable[Sequence[T]], total: int, what: str) -> Iterator[Sequence[T]]:
    """The parts as they come, with a line every `TOLD_EVERY` seconds: how many of `total`, at what rate, time left."""
    start = last = time.monotonic()
    done = 0
    for part in parts:
        yield part
        done += len(part)
        now = time.monotonic()
        if now - last >= TOLD_EVERY and done:
            rate = done / (now - start)
            left = duration((total - done) / rate)
            print(f"{what}: {done:,} of {total:,} | {rate:,.0f}/s | {left} left", flush=True)
            last = now


def duration(seconds: float) -> str:
    """'2 h 10 min', '3 min 5 s', '12 s'."""
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{int(seconds)} s"


def read_log(folder: Path) -> list[dict[str, float]]:
    """The rows of `training_log.jsonl`, oldest first; none where there is no log."""
    file = folder / LOG_FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
