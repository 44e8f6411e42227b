"""A masked-LM model in its two halves, body and vocabulary layer, for BERT and DistilBERT alike.

Sizes: B sequences, T tokens each, N tokens that go through the vocabulary layer, D hidden units, V words.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import BertForMaskedLM, DistilBertForMaskedLM, PreTrainedModel

from bert_distillation.attention import gather, sequence_mask, use_packed_attention
from bert_distillation.errors import InputError
from bert_distillation.vocabulary import Projection

FULL = 0.98  # share of the rows that are tokens, from which on the rows go through a model as they are
FLAT = ("input_ids", "token_type_ids", "position_ids", "places")

MaskedLM = BertForMaskedLM | DistilBertForMaskedLM


def require_masked_lm(model: PreTrainedModel, of: str) -> MaskedLM:
    """The model itself, if it is a BERT or DistilBERT with a masked-LM head."""
    if not isinstance(model, MaskedLM):
        raise InputError(f"{of}: this is a {type(model).__name__}; give a BERT or DistilBERT with a masked-LM head.")
    return model


def freeze_key_biases(model: MaskedLM) -> None:
    """Leave out of training what changes nothing: a key's bias moves all scores of a query alike.

    Its gradient is 0 but for rounding, which Adam would make steps of, other ones for each number of processes.
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.k_lin.bias", "attention.self.key.bias")):
            parameter.requires_grad_(False)


def last_hidden_states(
    model: MaskedLM, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, **inputs: Tensor
) -> Tensor:
    """(B, T, D) hidden states of the last layer; token types go to BERT alone, DistilBERT has none.

    input_ids, attention_mask, token_type_ids: (B, T), int64.
    """
    inputs |= {"input_ids": input_ids, "attention_mask": attention_mask}
    if isinstance(model, DistilBertForMaskedLM):
        return model.distilbert(**inputs).last_hidden_state
    return model.bert(**inputs, token_type_ids=token_type_ids).last_hidden_state


def packed_hidden_states(model: MaskedLM, batch: dict[str, Tensor]) -> Tensor:
    """(N, D) hidden states of the last layer for a batch of `MaskedSequences`: each sequence's as if it were alone."""
    use_packed_attention(model)
    num_tokens = len(batch["input_ids"])
    if num_tokens == 0:  # all parameters take part in a step, also in a process that has nothing to read in it
        batch = dict.fromkeys(FLAT, batch["places"].new_zeros(1)) | {"sequence_ids": batch["places"].new_ones(1, 1)}
    sequences = batch["sequence_ids"]
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else model.dtype
    mask = sequence_mask(sequences, model.config.num_attention_heads, dtype)
    places, inputs = batch["places"], {name: batch[name] for name in FLAT if name != "places"}
    with _embeddings_for_cpus(model):
        if num_tokens >= FULL * sequences.numel():  # to move the tokens in each layer would cost more than the padding
            grids = {name: _in_rows(tokens, places, sequences) for name, tokens in inputs.items()}
            rows = last_hidden_states(model, attention_mask=mask, **grids)
            return gather(rows.flatten(0, 1), places)
        flat = {name: tokens[None] for name, tokens in inputs.items()}
        hidden_states = last_hidden_states(model, attention_mask=mask, places=places, **flat)
    return hidden_states[0, :num_tokens]


def text_hidden_states(model: MaskedLM, input_ids: Tensor, lengths: Tensor) -> Tensor:
    """(N, D) hidden states of the last layer for texts of one type each, a text a row.

    input_ids: (N,) the texts after one another; lengths: (B,) their tokens; both int64.
    """
    sequence_ids = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    places = sequence_ids.flatten().nonzero()[:, 0]
    batch = {
        "input_ids": input_ids,
        "token_type_ids": torch.zeros_like(input_ids),
        "position_ids": places % sequence_ids.shape[1],
        "places": places,
        "sequence_ids": sequence_ids,
    }
    return packed_hidden_states(model, {name: part.to(model.device) for name, part in batch.items()})


def _in_rows(tokens: Tensor, places: Tensor, sequence_ids: Tensor) -> Tensor:
    """(N,) -> (B, T), with 0 where no token stands."""
    grid = torch.zeros_like(sequence_ids).flatten()
    grid[places] = tokens
    return grid.view_as(sequence_ids)


@contextmanager
def _embeddings_for_cpus(model: MaskedLM) -> Iterator[None]:
    """What a CPU, whose memory is slow, gains from the embeddings; nothing changes on GPUs.

    Their gradient is that of a few words: added as such to that of the vocabulary layer, whose weights they share, it
    needs no matrix of its own. And under autocast, all that the layers add up and normalise is as precise as what they
    multiply: left in single precision, as autocast does, the embeddings would double what is kept for the backward
    pass. On GPUs its layer norms are in single precision whatever they are given.
    """
    body = model.distilbert if isinstance(model, DistilBertForMaskedLM) else model.bert
    words = body.embeddings.word_embeddings
    hooks = []
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        hooks.append(body.embeddings.register_forward_hook(lambda _, __, output: output.to(dtype)))
    was_sparse = words.sparse
    words.sparse = words.weight.is_cpu and model.get_output_embeddings().weight is words.weight
    try:
        yield
    finally:
        words.sparse = was_sparse  # DDP would take the gradient as a whole for sparse
        for hook in hooks:
            hook.remove()


def vocabulary_projection(model: MaskedLM, hidden_states: Tensor) -> Projection:
    """The last layer, from (N, D) hidden states to the vocabulary, without doing its matrix product."""
    if isinstance(model, DistilBertForMaskedLM):
        transformed = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden_states)))
        return Projection(transformed, model.vocab_projector.weight, model.vocab_projector.bias)
    transformed = model.cls.predictions.transform(hidden_states)
    decoder = model.cls.predictions.decoder
    return Projection(transformed, decoder.weight, decoder.bias)


def vocabulary_logits(model: MaskedLM, hidden_states: Tensor) -> Tensor:
    """(N, V) logits over the vocabulary for (N, D) hidden states."""
    return vocabulary_projection(model, hidden_states).logits()
