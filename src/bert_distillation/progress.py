"""The log of a training run: a line, a row of `training_log.jsonl` and MLflow metrics at each logging step."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from bert_distillation.errors import InputError
from bert_distillation.tracking import log_metrics

LOG_FILE = "training_log.jsonl"
TOLD_EVERY = 10  # seconds
LONG_WAIT = 0.1  # share of the time from which a line says that training waits for data

T = TypeVar("T")


class TrainingLog:
    """Collects sums on the device and fetches them only when a line is written."""

    def __init__(self, folder: Path, weights: dict[str, float]):
        self.file, self.weights = folder / LOG_FILE, weights
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        self.tokens: Tensor | int = 0
        self.learning_rate = 0.0
        self.seconds_waited = 0.0

    def start(self, step: int, last_step: int) -> None:
        """Begin at `step`; rows of a run that got further before it was interrupted are dropped."""
        self.last_step, self.step, self.clock = last_step, step, time.monotonic()
        rows = read_log(self.file.parent) if step else []
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step))

    def waiting_for(self, steps: Iterator[T]) -> Iterator[T]:
        """The same steps, with the time counted in which training had none: what a GPU waited for data, at most."""
        while True:
            start = time.monotonic()
            step = next(steps, None)
            if step is None:
                return
            self.seconds_waited += time.monotonic() - start
            yield step

    def add(self, sums: dict[str, Tensor], counts: dict[str, Tensor], learning_rate: float) -> None:
        """Add the losses of one optimizer step: sums of this process, counts of all."""
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value
            self.counts[name] = self.counts.get(name, 0) + counts[name]
        self.tokens = self.tokens + counts["tokens"]
        self.learning_rate = learning_rate

    def write(self, step: int, accelerator: Accelerator) -> None:
        """Write what came since the last line; a loss that is not finite ends the run."""
        names = list(self.sums)
        totals = accelerator.reduce(torch.stack([self.sums[name].float() for name in names]), reduction="sum")
        means = {name: float(total / self.counts[name]) for name, total in zip(names, totals, strict=True)}
        loss = sum(self.weights[name] * mean for name, mean in means.items())
        if not math.isfinite(loss):
            raise InputError(
                f"The loss is {loss} at step {step} (learning rate {self.learning_rate:.2g}). "
                "Lower --learning_rate, raise --warmup_ratio, or use --mixed_precision no."
            )
        now = time.monotonic()
        rate = int(self.tokens) / max(now - self.clock, 1e-9)
        seconds_left = (now - self.clock) / (step - self.step) * (self.last_step - step)
        row = {"step": step, "loss": loss} | {f"loss_{name}": mean for name, mean in means.items()}
        row |= {"learning_rate": self.learning_rate, "tokens_per_second": rate}
        row["data_wait_share"] = self.seconds_waited / max(now - self.clock, 1e-9)
        if accelerator.is_main_process:
            print(log_line(row, self.last_step, seconds_left), flush=True)
            with self.file.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            log_metrics({name: value for name, value in row.items() if name != "step"}, step=step)
        self.sums, self.counts, self.tokens = {}, {}, 0
        self.step, self.clock, self.seconds_waited = step, now, 0.0


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
