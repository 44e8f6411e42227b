"""Masked-LM loss on text that was not trained on."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from bert_distillation.batches import MaskedSequences
from bert_distillation.losses import MaskedLanguageModeling, token_counts
from bert_distillation.masked_lm import MaskedLM
from bert_distillation.sequences import open_sequences

BATCH_SIZE = 32


def masked_batches(
    folder: Path, tokenizer: PreTrainedTokenizerFast, mlm_probability: float = 0.15
) -> Iterator[dict[str, Tensor]]:
    """The held-out sequences in padded batches, each sequence with the same masks at every call and for every model."""
    corpus = open_sequences(folder)
    dataset = MaskedSequences(corpus, tokenizer, mlm_probability, seed=0)
    for start in range(0, len(corpus), BATCH_SIZE):
        yield dataset.__getitems__([(0, index) for index in range(start, min(start + BATCH_SIZE, len(corpus)))])


@torch.inference_mode()
def held_out_loss(
    model: MaskedLM, folder: Path, tokenizer: PreTrainedTokenizerFast, mlm_probability: float = 0.15
) -> float:
    """Mean masked-LM loss in nats over the masked tokens of the folder; the model keeps its training mode."""
    objective, was_training = MaskedLanguageModeling(model), model.training
    device = next(model.parameters()).device
    objective.eval()
    total, count = 0.0, 0
    for batch in masked_batches(folder, tokenizer, mlm_probability):
        total += float(objective({name: tensor.to(device) for name, tensor in batch.items()})["mlm"])
        count += token_counts(batch)["mlm"]
    model.train(was_training)
    return total / max(count, 1)
