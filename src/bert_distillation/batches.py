"""Which sequences make a step, and how they become tensors.

Order is a pure function of (seed, epoch) and masks are one of (seed, epoch, sequence): nothing to save for a resume,
and the same data for any number of processes. The sequences of a step are chosen first and split by process afterwards.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerFast

from bert_distillation.masking import DRAWS, IGNORE_INDEX, mask_tokens, random_token_ids, special_ids

Place = tuple[int, int]  # (epoch, index of the sequence)
FILLER = -1  # the index of a sequence that only keeps a process in step with the others and has no loss


@functools.lru_cache(maxsize=1)
def epoch_order(num_sequences: int, seed: int, epoch: int) -> np.ndarray:
    """(num_sequences,) indices in the order of the epoch."""
    return np.random.default_rng([seed, epoch]).permutation(num_sequences)


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """How the sequences of the corpus are dealt out to steps, processes and batches."""

    num_sequences: int
    per_device_batch_size: int
    batches_per_step: int  # gradient accumulation steps of one process
    num_processes: int
    seed: int

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimizer step, over all processes."""
        return self.per_device_batch_size * self.batches_per_step * self.num_processes

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that cover every sequence once; the last may be smaller."""
        return math.ceil(self.num_sequences / self.sequences_per_step)

    def batches(self, step: int, process: int) -> list[list[Place]]:
        """The batches of one process in an optimizer step (counted from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = epoch_order(self.num_sequences, self.seed, epoch)
        indices = order[position * self.sequences_per_step : (position + 1) * self.sequences_per_step]
        parts = np.array_split(indices, self.batches_per_step * self.num_processes)
        mine = parts[process * self.batches_per_step : (process + 1) * self.batches_per_step]
        return [[(epoch, int(index)) for index in part] or [(epoch, FILLER)] for part in mine]


class BatchOrder(Sampler[list[Place]]):
    """One process's batches from `first_step` up to `last_step`, in order: a batch sampler for a DataLoader."""

    def __init__(self, plan: StepPlan, process: int, first_step: int, last_step: int):
        self.plan, self.process, self.steps = plan, process, range(first_step, last_step)

    def __len__(self) -> int:
        return len(self.steps) * self.plan.batches_per_step

    def __iter__(self) -> Iterator[list[Place]]:
        """Batches, `plan.batches_per_step` of them a step."""
        for step in self.steps:
            yield from self.plan.batches(step, self.process)


class MaskedSequences(Dataset):
    """Sequences of a corpus, masked anew each epoch and padded into batches."""

    def __init__(
        self, sequences: datasets.Dataset, tokenizer: PreTrainedTokenizerFast, mlm_probability: float, seed: int
    ):
        self.sequences = sequences.with_format("numpy")
        self.pad_token_id, self.mask_token_id = tokenizer.pad_token_id, tokenizer.mask_token_id
        self.random_ids = random_token_ids(tokenizer)
        self.is_special = torch.zeros(len(tokenizer), dtype=torch.bool)
        self.is_special[special_ids(tokenizer)] = True
        self.mlm_probability, self.seed = mlm_probability, seed

    def __getitems__(self, places: list[Place]) -> dict[str, Tensor]:
        """One batch of (B, T) tensors, padded to its longest sequence.

        input_ids, attention_mask, token_type_ids, labels: int64; loss_mask: bool, true on the real tokens.
        """
        rows = self.sequences[[max(index, 0) for _, index in places]]
        lengths = torch.tensor([len(ids) for ids in rows["input_ids"]])
        input_ids = torch.from_numpy(np.concatenate(rows["input_ids"]).astype(np.int64))
        uniform = [self._uniform(*place, length) for place, length in zip(places, lengths.tolist(), strict=True)]
        masked, labels = mask_tokens(
            input_ids,
            self.is_special[input_ids],
            self.mask_token_id,
            self.random_ids,
            torch.from_numpy(np.concatenate(uniform, axis=1)),
            self.mlm_probability,
        )
        position = torch.arange(int(lengths.max()))
        real = position < lengths[:, None]
        loss_mask = real & torch.tensor([index != FILLER for _, index in places])[:, None]
        second_start = torch.from_numpy(rows["second_start"].astype(np.int64))
        return {
            "input_ids": _pad(masked, real, self.pad_token_id),
            "attention_mask": real.long(),
            "token_type_ids": (real & (position >= second_start[:, None])).long(),
            "labels": _pad(labels, real, IGNORE_INDEX).where(loss_mask, IGNORE_INDEX),
            "loss_mask": loss_mask,
        }

    def _uniform(self, epoch: int, index: int, length: int) -> np.ndarray:
        """(DRAWS, length) numbers in [0, 1) that belong to this sequence in this epoch."""
        stream = np.random.Philox(key=[self.seed, (epoch << 40) + max(index, 0)])
        return np.random.Generator(stream).random((DRAWS, length))


def _pad(tokens: Tensor, real: Tensor, padding: int) -> Tensor:
    """(N,) tokens of all sequences after one another -> (B, T) with `padding` where `real` is false."""
    return torch.full(real.shape, padding).masked_scatter(real, tokens)
