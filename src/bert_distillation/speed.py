"""How fast models are on this machine: measured in turn, so that both have the same minutes of it."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bert_distillation.masked_lm import last_hidden_states, vocabulary_logits
from bert_distillation.subject import Subject

EXAMPLE = "Paris is the [MASK] of France."
LENGTH = 128  # tokens of each text that the throughput is measured with
THROUGHPUT_RUNS, LATENCY_RUNS = 5, 20


def speeds(subjects: Sequence[Subject], batch_size: int) -> list[dict[str, float]]:
    """For each model its throughput on full batches with one mask a text, and the time of one short request."""
    length = min(LENGTH, *(subject.model.config.max_position_embeddings for subject in subjects), LENGTH)
    batches = median_seconds([_one_batch(subject, batch_size, length) for subject in subjects], THROUGHPUT_RUNS)
    requests = median_seconds([_one_request(subject) for subject in subjects], LATENCY_RUNS)
    return [
        {"tokens_per_second": batch_size * length / batch, "latency_milliseconds": 1000 * request}
        for batch, request in zip(batches, requests, strict=True)
    ]


def median_seconds(works: Sequence[Callable[[], Any]], runs: int) -> list[float]:
    """The median time of `runs` calls of each, in turn, after one that warms up."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs + 1):
        for work, own in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in times]


def _one_batch(subject: Subject, batch_size: int, length: int) -> Callable[[], Any]:
    model = subject.model
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(len(subject.tokenizer), (batch_size, length), generator=generator).to(model.device)
    ones, zeros = torch.ones_like(input_ids), torch.zeros_like(input_ids)

    @torch.inference_mode()
    def work() -> None:
        vocabulary_logits(model, last_hidden_states(model, ones, zeros, input_ids=input_ids)[:, 0]).sum().item()

    return work


def _one_request(subject: Subject) -> Callable[[], Any]:
    example = EXAMPLE.replace("[MASK]", subject.tokenizer.mask_token)
    return lambda: subject.predictor.predict([example])
