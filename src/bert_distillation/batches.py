"""Which sequences make a step, and how they become tensors.

Order is a pure function of (seed, epoch) and masks are one of (seed, epoch, sequence): nothing to save for a resume,
and the same data for any number of processes. The sequences of a step are chosen first and split by process afterwards.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerFast

from bert_distillation.masking import IGNORE_INDEX, mask_tokens, random_token_ids, special_ids

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
    """Sequences of a corpus, masked anew each epoch."""

    def __init__(self, sequences: Dataset, tokenizer: PreTrainedTokenizerFast, mlm_probability: float, seed: int):
        self.sequences = sequences
        self.mask_token_id = tokenizer.mask_token_id
        self.special_ids, self.random_ids = special_ids(tokenizer), random_token_ids(tokenizer)
        self.mlm_probability, self.seed = mlm_probability, seed

    def __getitem__(self, place: Place) -> dict[str, Tensor]:
        """(T,) tensors of one sequence: input_ids (masked), labels, token_type_ids, loss_mask."""
        epoch, index = place
        row = self.sequences[max(index, 0)]
        input_ids = torch.as_tensor(np.asarray(row["input_ids"], dtype=np.int64))
        seed = np.random.SeedSequence([self.seed, epoch, max(index, 0)]).generate_state(1, np.uint64)[0]
        masked, labels = mask_tokens(
            input_ids,
            torch.isin(input_ids, self.special_ids),
            self.mask_token_id,
            self.random_ids,
            torch.Generator().manual_seed(int(seed >> np.uint64(1))),
            self.mlm_probability,
        )
        has_loss = index != FILLER
        return {
            "input_ids": masked,
            "labels": labels if has_loss else torch.full_like(labels, IGNORE_INDEX),
            "token_type_ids": (torch.arange(len(input_ids)) >= int(row["second_start"])).long(),
            "loss_mask": torch.full_like(input_ids, has_loss, dtype=torch.bool),
        }


@dataclass(frozen=True)
class PadBatch:
    """Stack sequences into (B, T) tensors, padded to the longest."""

    pad_token_id: int

    def __call__(self, rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """input_ids, attention_mask, token_type_ids, labels: int64; loss_mask: bool, true on the real tokens."""
        padding = {"input_ids": self.pad_token_id, "labels": IGNORE_INDEX, "token_type_ids": 0, "loss_mask": False}
        batch = {
            name: torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True, padding_value=value)
            for name, value in padding.items()
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        return batch
