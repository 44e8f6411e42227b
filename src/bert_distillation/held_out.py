"""Masked-LM loss on text that was not trained on."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from bert_distillation.batches import MaskedSequences
from bert_distillation.masked_lm import MaskedLM, packed_hidden_states, vocabulary_logits
from bert_distillation.sequences import open_sequences

BATCH_SIZE = 32


def masked_batches(
    folder: Path, tokenizer: PreTrainedTokenizerFast, mlm_probability: float, share: tuple[int, int] = (0, 1)
) -> Iterator[dict[str, Tensor]]:
    """The held-out sequences in padded batches, each sequence with the same masks at every call and for every model.

    share: (index, number): of so many processes the one with this index, which takes every `number`-th batch.
    """
    corpus = open_sequences(folder)
    dataset = MaskedSequences(corpus, tokenizer, mlm_probability, seed=0)
    index, number = share
    for start in range(index * BATCH_SIZE, len(corpus), number * BATCH_SIZE):
        yield dataset.__getitems__([(0, (index,)) for index in range(start, min(start + BATCH_SIZE, len(corpus)))])


def masked_logits(model: MaskedLM, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(M, V) logits of the masked tokens of a batch, in single precision, and (M,) their true words."""
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    labels = batch["labels"]
    hidden_states = packed_hidden_states(model, batch)[: len(labels)]
    return vocabulary_logits(model, hidden_states).float(), labels


@torch.inference_mode()
def held_out_sums(
    model: MaskedLM,
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    mlm_probability: float,
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """(2,) on the model's device: the sum of the masked-LM loss in nats over masked tokens, and their number.

    share: as in `masked_batches`. The model keeps its training mode.
    """
    was_training = model.training
    model.eval()
    dtype = torch.float64 if model.device.type != "mps" else torch.float32  # which has no double
    sums = torch.zeros(2, dtype=dtype, device=model.device)
    for batch in masked_batches(folder, tokenizer, mlm_probability, share):
        logits, labels = masked_logits(model, batch)
        sums[0] += F.cross_entropy(logits, labels, reduction="sum")
        sums[1] += len(labels)
    model.train(was_training)
    return sums
