"""What a training run is at a step, besides its data, whose order needs no state: to safetensors and JSON and back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bert_distillation.checkpoints import (
    Checkpoint,
    RunIdentity,
    begin_checkpoint,
    complete_checkpoint,
    find_checkpoint,
    remove_half_written,
)
from bert_distillation.outputs import writing
from bert_distillation.processes import of_the_first
from bert_distillation.progress import LOG_FILE, TrainingLog, read_log
from bert_distillation.run_lock import RunLock
from bert_distillation.tracking import write_json, write_jsonl

MODEL_FILE, OPTIMIZER_FILE, RANDOM_FILE = "model.safetensors", "optimizer.safetensors", "random.safetensors"
STATE_FILE = "state.json"
SMALLEST_SCALE = 1.0  # of gradients in fp16; it begins at 65,536


@dataclass
class TrainingState:
    """The parts of a run that change from step to step."""

    objective: nn.Module  # not wrapped
    optimizer: Optimizer
    schedule: LRScheduler
    log: TrainingLog
    accelerator: Accelerator
    held: Sequence[RunLock] = ()  # the output folders, in the first process

    def step(self, step: int) -> bool:
        """Let the optimizer take its step, and the schedule if it was taken, which is returned: fp16 skips overflows.

        The scale of the gradients halves with each that is skipped in a row. A scale that has come to nothing ends the
        run, and so does a last step before which none was taken.
        """
        self.optimizer.step()
        is_taken = not self.accelerator.optimizer_step_was_skipped
        if is_taken:
            self.schedule.step()
        else:
            self.log.skipped_steps += 1
            is_untrained = step == self.log.last_step and self.schedule.last_epoch == 0
            if is_untrained or self.accelerator.scaler.get_scale() < SMALLEST_SCALE:
                what = (
                    f"{self.log.skipped_steps} steps were left out in fp16, whose gradients were not finite, the last"
                )
                raise self.log.not_finite(what, step, "Use --mixed_precision bf16 or no.")
        self.optimizer.zero_grad(set_to_none=True)
        return is_taken

    def save(self, folder: Path, step: int, run: RunIdentity, keep: int) -> Path:
        """Write the checkpoint of a step; all processes take part, the first one writes. Returns its place."""
        # The processes' own parts go to the first: the nodes of a run may see each other's files late.
        processes = gather_object([{"random": random_states(self.accelerator.device), "log": self.log.state()}])

        def write() -> Path:
            for lock in self.held:
                lock.require()
            with writing(folder):
                partial = begin_checkpoint(folder, step, run)
                self._write(partial, processes)
                return complete_checkpoint(partial, folder, step, run, keep)

        return of_the_first(self.accelerator, write)

    def _write(self, folder: Path, processes: list[dict[str, Any]]) -> None:
        """All files of a checkpoint but its manifest. processes: the random states and the log's sums of each."""
        weights = {name: parameter.data.contiguous() for name, parameter in self.objective.named_parameters()}
        save_file(weights, folder / MODEL_FILE)
        moments, settings = split_optimizer_state(self.optimizer.state_dict())
        save_file(moments, folder / OPTIMIZER_FILE)
        names = processes[0]["random"]
        random = {name: torch.stack([process["random"][name] for process in processes]) for name in names}
        save_file(random, folder / RANDOM_FILE)
        scaler = self.accelerator.scaler
        state = {
            "schedule": self.schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "optimizer": settings,
            "log": [process["log"] for process in processes],
        }
        write_json(folder / STATE_FILE, state)
        write_jsonl(folder / LOG_FILE, self.log.rows)

    def resume(self, folder: Path | None, run: RunIdentity, elastic: bool) -> int:
        """Take on the newest whole checkpoint of the run and return its step; 0 where there is none."""

        def find() -> Checkpoint | None:
            if folder is None:
                return None
            checkpoint = find_checkpoint(folder, run, elastic)
            remove_half_written(folder, run)
            return checkpoint

        checkpoint = of_the_first(self.accelerator, find)
        if checkpoint is None:
            return 0
        self.load(checkpoint.folder)
        self.log.last_checkpoint = checkpoint.folder
        if self.accelerator.is_main_process:
            print(f"going on after step {checkpoint.step}, from {checkpoint.folder}", flush=True)
        return checkpoint.step

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Become what the folder says."""
        saved = load_file(folder / MODEL_FILE)
        for name, parameter in self.objective.named_parameters():
            parameter.copy_(saved[name])
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        self.optimizer.load_state_dict(join_optimizer_state(load_file(folder / OPTIMIZER_FILE), state["optimizer"]))
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.log.load(state["log"], read_log(folder), self.accelerator)
        load_random_states(load_file(folder / RANDOM_FILE), self.accelerator)


def split_optimizer_state(state: dict[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimizer's state as tensors, named by the place of their weight, and the settings of its groups."""
    moments = {
        f"{place}.{name}": tensor.contiguous()
        for place, values in state["state"].items()
        for name, tensor in values.items()
    }
    return moments, state["param_groups"]


def join_optimizer_state(moments: dict[str, Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """What `split_optimizer_state` has split."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        place, _, name = key.partition(".")
        states.setdefault(int(place), {})[name] = tensor
    return {"state": states, "param_groups": groups}


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that training draws from: the CPU's, and the device's if that is another."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states["device"] = torch.get_device_module(device).get_rng_state()
    return states


def load_random_states(states: dict[str, Tensor], accelerator: Accelerator) -> None:
    """Each process takes its own; one that was not there before keeps the state that its start gave it."""
    rank = accelerator.process_index
    if rank >= len(states["cpu"]):
        return
    torch.set_rng_state(states["cpu"][rank].clone())
    if "device" in states and accelerator.device.type != "cpu":
        torch.get_device_module(accelerator.device).set_rng_state(states["device"][rank].clone())
