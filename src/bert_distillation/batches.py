"""Which rows make a step, and how they become tensors.

The order of rows is a pure function of (seed, epoch) and masks are one of (seed, epoch, sequence): nothing to save for
a resume, and the same data for any number of processes. The rows of a step are chosen first and split by process
afterwards.
"""

import errno
import math
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info
from transformers import PreTrainedTokenizerFast

from bert_distillation.errors import NO_SPACE, InputError
from bert_distillation.masking import (
    DRAWS,
    IGNORE_INDEX,
    continuation_pieces,
    draws_by_word,
    mask_tokens,
    random_token_ids,
    special_ids,
)
from bert_distillation.packing import Packing
from bert_distillation.preemption import ignore_signals

WORKERS_OF_A_GPU = 2  # each makes 800 thousand tokens a second; an H100 takes 500 thousand
MOST_AHEAD = 64  # batches of a worker
NO_ROOM_FOR_WORKERS = NO_SPACE | {errno.ENOMEM, errno.EAGAIN}  # for semaphores in /dev/shm, or for another process
Row = tuple[int, tuple[int, ...]]  # the epoch, and the sequences side by side in the row; none in a row that fills up


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """How the rows of the corpus are dealt out to steps, processes and batches."""

    packing: Packing
    per_device_batch_size: int
    batches_per_step: int  # gradient accumulation steps of one process
    num_processes: int

    @property
    def rows_per_step(self) -> int:
        """Rows of one optimizer step, over all processes."""
        return self.per_device_batch_size * self.batches_per_step * self.num_processes

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that cover every row once; the last may be smaller."""
        return math.ceil(self.packing.num_rows / self.rows_per_step)

    def batches(self, step: int, process: int) -> list[list[Row]]:
        """The batches of one process in an optimizer step (counted from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.rows_per_step
        places = np.arange(first, min(first + self.rows_per_step, self.packing.num_rows))
        parts = np.array_split(places, self.batches_per_step * self.num_processes)
        mine = parts[process * self.batches_per_step : (process + 1) * self.batches_per_step]
        return [[(epoch, self.packing.row(epoch, int(place))) for place in part] or [(epoch, ())] for part in mine]


class BatchOrder(Sampler[list[Row]]):
    """One process's batches from `first_step` up to `last_step`, in order: a batch sampler for a DataLoader."""

    def __init__(self, plan: StepPlan, process: int, first_step: int, last_step: int):
        self.plan, self.process, self.steps = plan, process, range(first_step, last_step)

    def __len__(self) -> int:
        return len(self.steps) * self.plan.batches_per_step

    def __iter__(self) -> Iterator[list[Row]]:
        """Batches, `plan.batches_per_step` of them a step."""
        for step in self.steps:
            yield from self.plan.batches(step, self.process)


class MaskedSequences(Dataset):
    """Sequences of a corpus, masked anew each epoch and put side by side in rows."""

    def __init__(
        self,
        sequences: datasets.Dataset,
        tokenizer: PreTrainedTokenizerFast,
        mlm_probability: float | Tensor,
        seed: int,
        row_length: int = 0,
        whole_word_masking: bool = False,
    ):
        """`mlm_probability` of all words alike, or (V,) of each. `row_length` 0: as long as the batch's longest row."""
        self.sequences, self.row_length = sequences.with_format("numpy"), row_length
        self.mask_token_id = tokenizer.mask_token_id
        self.random_ids = random_token_ids(tokenizer)
        self.is_special = torch.zeros(len(tokenizer), dtype=torch.bool)
        self.is_special[special_ids(tokenizer)] = True
        self.is_continuation = continuation_pieces(tokenizer) if whole_word_masking else None
        self.mlm_probability, self.seed = mlm_probability, seed

    def __getitems__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """One batch: B rows of T tokens, of which N are real and M masked; all int64.

        input_ids, token_type_ids, position_ids, places: (N,) the real tokens, the masked ones first, and where each
        stands in the flattened rows. labels: (M,) the true words of the masked tokens.
        sequence_ids: (B, T) the number of the token's sequence in its row, from 1; 0 is padding.
        cu_seqlens: (S + 1,), int32, where each of them begins if they come after one another, and where the last ends.
        """
        flat = [(epoch, index) for epoch, indices in rows for index in indices]
        input_ids, lengths, second_starts = self._read([index for _, index in flat])
        row_of, numbers, starts, width = self._place(rows, lengths)
        positions = np.arange(len(input_ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = np.repeat(row_of * width + starts, lengths) + positions
        sequence_ids = np.zeros(len(rows) * width, np.int64)
        sequence_ids[places] = np.repeat(numbers + 1, lengths)
        masked_ids, labels = self._mask(torch.from_numpy(input_ids), flat, lengths)
        is_masked = labels != IGNORE_INDEX
        order = torch.cat([is_masked.nonzero()[:, 0], (~is_masked).nonzero()[:, 0]])
        is_second = positions >= np.repeat(second_starts, lengths)
        return {
            "input_ids": masked_ids[order],
            "token_type_ids": torch.from_numpy(is_second).long()[order],
            "position_ids": torch.from_numpy(positions)[order],
            "places": torch.from_numpy(places)[order],
            "labels": labels[is_masked],
            "sequence_ids": torch.from_numpy(sequence_ids).view(len(rows), width),
            "cu_seqlens": torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)),
        }

    def _place(self, rows: Sequence[Row], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Of each sequence its row, its number in the row and where in the row it begins; and the rows' length."""
        counts = np.array([len(indices) for _, indices in rows])
        row_of = np.repeat(np.arange(len(rows)), counts)
        numbers = np.arange(len(lengths)) - np.repeat(np.cumsum(counts) - counts, counts)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        ends_of_rows = ends[np.cumsum(counts)]
        begins_of_rows = np.concatenate([[0], ends_of_rows[:-1]])
        width = self.row_length or max(int((ends_of_rows - begins_of_rows).max()), 1)
        return row_of, numbers, ends[:-1] - begins_of_rows[row_of], width

    def _read(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The tokens of some sequences after one another, their lengths, and where their second texts begin."""
        if not indices:
            return (np.empty(0, np.int64),) * 3
        read = self.sequences[indices]
        lengths = np.array([len(ids) for ids in read["input_ids"]])
        return np.concatenate(read["input_ids"]).astype(np.int64), lengths, read["second_start"].astype(np.int64)

    def _mask(self, input_ids: Tensor, flat: list[tuple[int, int]], lengths: np.ndarray) -> tuple[Tensor, Tensor]:
        streams = [self._uniform(*place, length) for place, length in zip(flat, lengths.tolist(), strict=True)]
        uniform = torch.from_numpy(np.concatenate([np.empty((DRAWS, 0)), *streams], axis=1))
        if self.is_continuation is not None:
            uniform[0] = draws_by_word(uniform[0], self.is_continuation[input_ids])
        share = self.mlm_probability
        return mask_tokens(
            input_ids,
            self.is_special[input_ids],
            self.mask_token_id,
            self.random_ids,
            uniform,
            share[input_ids] if isinstance(share, Tensor) else share,
        )

    def _uniform(self, epoch: int, index: int, length: int) -> np.ndarray:
        """(DRAWS, length) numbers in [0, 1) that belong to this sequence in this epoch."""
        stream = np.random.Philox(key=[self.seed, (epoch << 40) + index])
        return np.random.Generator(stream).random((DRAWS, length))


def batches_by_step(dataset: MaskedSequences, order: BatchOrder, workers: int) -> Iterator[list[dict[str, Tensor]]]:
    """The batches of each optimizer step together, because a step's losses are divided by its total of tokens."""
    if workers < 0:
        workers = WORKERS_OF_A_GPU if torch.cuda.is_available() else 0
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        collate_fn=whole_batch,
        num_workers=workers,
        # A whole step ahead; a batch that waits holds some files open in its worker.
        prefetch_factor=min(max(2, -(-order.plan.batches_per_step // workers)), MOST_AHEAD) if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=ignore_signals,
        generator=torch.Generator(),  # else each start draws from the stream that dropout uses, and a resume differs
    )
    step: list[dict[str, Tensor]] = []
    try:
        for batch in loader:
            step.append(batch)
            if len(step) == order.plan.batches_per_step:
                yield step
                step = []
    except Exception as error:
        # Its frames hold the processes that are left, for whose end Python would wait for ever at its own.
        traceback.clear_frames(error.__traceback__)
        if not is_lost_worker(error):
            raise
        raise InputError(
            "a process that prepares batches has died or could not start, most often for lack of memory or of room in "
            "/dev/shm; lower --dataloader_workers (0 does without such processes)."
        ) from None


def is_lost_worker(error: Exception) -> bool:
    """Whether a process that prepares batches died, or found no room for itself or for a batch."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in NO_ROOM_FOR_WORKERS
    # torch has no class of its own for that; what else is raised in such a process has other words.
    text = str(error)
    return "DataLoader worker (pid" in text or ("DataLoader worker" in text and os.strerror(errno.ENOSPC) in text)


def whole_batch(batch: Any) -> dict[str, Tensor]:
    """What the data set made is a batch already.

    A worker puts it into shared memory here: the thread that would do so later tells nobody that there is no room.
    """
    if get_worker_info() is not None:
        for tensor in batch.values():
            tensor.share_memory_()
    return batch
