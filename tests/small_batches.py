"""Packed batches of random tokens, and the same sequences padded as everyone else pads them."""

import torch
from torch import Tensor

from bert_distillation.masking import IGNORE_INDEX
from small_models import PIECES

ROWS = ((12, 3), (9, 5), (7,))  # lengths of the sequences in each row


def packed_batch(seed: int = 0, rows: tuple[tuple[int, ...], ...] = ROWS, share: float = 0.3) -> dict[str, Tensor]:
    """As `MaskedSequences` makes it; `share` of the tokens is masked."""
    generator = torch.Generator().manual_seed(seed)
    length = max(map(sum, rows))
    sequence_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    position_ids = torch.zeros_like(sequence_ids)
    for row, lengths in enumerate(rows):
        start = 0
        for number, size in enumerate(lengths, start=1):
            sequence_ids[row, start : start + size] = number
            position_ids[row, start : start + size] = torch.arange(size)
            start += size
    sizes = [size for lengths in rows for size in lengths]
    places = sequence_ids.flatten().nonzero()[:, 0]
    masked = torch.rand(len(places), generator=generator) < share
    places = torch.cat([places[masked], places[~masked]])
    words = torch.randint(6, len(PIECES), (len(places),), generator=generator)
    labels, positions = words[: int(masked.sum())], position_ids.flatten()[places]
    return {
        "input_ids": torch.cat([torch.full_like(labels, 4), words[len(labels) :]]),
        "token_type_ids": (positions > 4).long(),
        "position_ids": positions,
        "places": places,
        "labels": labels,
        "sequence_ids": sequence_ids,
        "cu_seqlens": torch.tensor([0, *sizes]).cumsum(0, dtype=torch.int32),
    }


def padded(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch as a model of transformers takes it: a sequence a row, (S, T)."""
    sequences = batch["sequence_ids"]
    rows, places = sequences.shape[1], batch["places"]
    key = (places // rows) * (sequences.max() + 1) + sequences.flatten()[places]
    numbers = key.unique(return_inverse=True)[1]
    shape = int(numbers.max()) + 1, int(batch["position_ids"].max()) + 1
    words = torch.full_like(places, IGNORE_INDEX)
    words[: len(batch["labels"])] = batch["labels"]
    columns = {"input_ids": batch["input_ids"], "token_type_ids": batch["token_type_ids"], "labels": words}
    grids = {name: torch.full(shape, IGNORE_INDEX if name == "labels" else 0) for name in columns}
    for name, values in columns.items():
        grids[name][numbers, batch["position_ids"]] = values
    real = torch.zeros(shape, dtype=torch.int64)
    real[numbers, batch["position_ids"]] = 1
    return grids | {"attention_mask": real}
