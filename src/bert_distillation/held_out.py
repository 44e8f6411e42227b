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
    folder: Path, tokenizer: PreTrainedTokenizerFast, mlm_probability: float = 0.15
) -> Iterator[dict[str, Tensor]]:
    """The held-out sequences in padded batches, each sequence with the same masks at every call and for every model."""
    corpus = open_sequences(folder)
    dataset = MaskedSequences(corpus, tokenizer, mlm_probability, seed=0)
    for start in range(0, len(corpus), BATCH_SIZE):
        yield dataset.__getitems__([(0, (index,)) for index in range(start, min(start + BATCH_SIZE, len(corpus)))])


def masked_logits(model: MaskedLM, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(M, V) logits of the masked tokens of a batch, in single precision, and (M,) their true words."""
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    labels = batch["labels"]
    hidden_states = packed_hidden_states(model, batch)[: len(labels)]
    return vocabulary_logits(model, hidden_states).float(), labels


@torch.inference_mode()
def held_out_loss(
    model: MaskedLM, folder: Path, tokenizer: PreTrainedTokenizerFast, mlm_probability: float = 0.15
) -> float:
    """Mean masked-LM loss in nats over the masked tokens of the folder; the model keeps its training mode."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for batch in masked_batches(folder, tokenizer, mlm_probability):
        logits, labels = masked_logits(model, batch)
        total += F.cross_entropy(logits, labels, reduction="sum").item()
        count += len(labels)
    model.train(was_training)
    return total / max(count, 1)
