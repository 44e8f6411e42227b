"""A training state on disk and back: every part of it, bit by bit."""

from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from torch.optim import AdamW
from transformers import get_linear_schedule_with_warmup

from bert_distillation.checkpoints import RunIdentity
from bert_distillation.pretrain import PretrainConfig
from bert_distillation.progress import TrainingLog
from bert_distillation.training import make_optimizer
from bert_distillation.training_state import TrainingState

RUN = RunIdentity({"seed": "0"}, {"num_processes": "1"})


def state(folder: Path, seed: int) -> TrainingState:
    """A run of a small network with a gradient scaler, as on a GPU without bf16."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2, bias=False))
    network[0].bias.requires_grad_(False)
    optimizer = AdamW([p for p in network.parameters() if p.requires_grad], lr=0.1, betas=(0.9, 0.98), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)
    accelerator = SimpleNamespace(
        scaler=scaler, device=torch.device("cpu"), is_main_process=True, num_processes=1, process_index=0
    )
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 20)
    return TrainingState(network, optimizer, schedule, TrainingLog(folder, {"mlm": 1.0}), accelerator)


def step(run: TrainingState, number: int) -> float:
    """One step on numbers that depend on it, with dropout; every fourth gradient overflows."""
    generator = torch.Generator().manual_seed(number)
    loss = run.objective(torch.randn(16, 4, generator=generator)).pow(2).sum()
    scaler = run.accelerator.scaler
    scaler.scale(loss * (float("inf") if number % 4 == 3 else 1.0)).backward()
    scaler.step(run.optimizer)
    scaler.update()
    run.schedule.step()
    run.optimizer.zero_grad()
    counts = {"mlm": torch.tensor(16), "tokens": torch.tensor(16)}
    run.log.begin(counts["tokens"], run.schedule.get_last_lr()[0])
    run.log.add({"mlm": loss.detach()}, counts)
    return loss.item()


def numbers(run: TrainingState) -> list[object]:
    scaler = run.accelerator.scaler.state_dict()
    moments = [
        values[name] for _, values in sorted(run.optimizer.state_dict()["state"].items()) for name in sorted(values)
    ]
    tensors = [*run.objective.parameters(), *moments, torch.get_rng_state()]
    return [*(tensor.tolist() for tensor in tensors), scaler, run.schedule.state_dict(), run.log.state()]


def test_weights_moments_schedule_scaler_random_states_and_sums_come_back_bit_by_bit(tmp_path: Path):
    first = state(tmp_path, seed=0)
    for number in range(6):
        step(first, number)
    first.save(tmp_path, 6, RUN, keep=1)
    before = numbers(first)
    losses = [step(first, number) for number in range(6, 12)]
    after = numbers(first)

    second = state(tmp_path, seed=1)
    assert second.resume(tmp_path, RUN, elastic=False) == 6
    assert numbers(second) == before
    assert [step(second, number) for number in range(6, 12)] == losses
    assert numbers(second) == after
    assert first.accelerator.scaler.get_scale() != 2.0**10, "it has seen overflows"


def test_a_step_that_overflowed_in_fp16_is_counted_and_the_schedule_waits(tmp_path: Path):
    accelerator = Accelerator(cpu=True)
    network = nn.Linear(4, 1)
    config = PretrainConfig(sequences=tmp_path / "sequences", model=tmp_path / "model", learning_rate=0.1)
    optimizer = make_optimizer(list(network.parameters()), config, has_scaler=True)
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 20)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    prepared = AcceleratedOptimizer(optimizer, device_placement=False, scaler=scaler)
    accelerator._optimizers.append(prepared)
    accelerator.scaler = scaler
    run = TrainingState(network, prepared, schedule, TrainingLog(tmp_path, {"mlm": 1.0}), accelerator)
    run.log.start(0, 20)
    before, taken = network.weight.tolist(), []
    for factor in (float("inf"), 1.0):
        scaler.scale(network(torch.ones(2, 4)).sum() * factor).backward()
        assert (network.weight.tolist(), schedule.last_epoch) == (before, 0)
        taken.append(run.step(1))
    assert (run.log.skipped_steps, schedule.last_epoch, scaler.get_scale()) == (1, 1, 1.0)
    assert taken == [False, True]


def test_a_process_that_was_not_there_before_keeps_its_own_random_state_and_no_sum_is_lost(tmp_path: Path):
    first = state(tmp_path, seed=0)
    step(first, 0)
    first.save(tmp_path, 1, RUN, keep=1)
    sums = []
    for rank in range(2):
        other = state(tmp_path, seed=5 + rank)
        other.accelerator.num_processes, other.accelerator.process_index = 2, rank
        before = torch.get_rng_state()
        (place,) = tmp_path.glob("step-*")
        other.load(place)
        assert torch.equal(torch.get_rng_state(), before) is (rank == 1)
        sums.append(other.log.state()["sums"]["mlm"])
    assert sums == [first.log.state()["sums"]["mlm"], 0.0]
