"""A masked-LM model in its two halves, body and vocabulary layer, for BERT and DistilBERT alike.

Sizes: B sequences, T tokens each, N tokens that go through the vocabulary layer, D hidden units, V words.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertForMaskedLM, DistilBertForMaskedLM, PreTrainedModel

from bert_distillation.attention import (
    gather,
    has_varlen_kernel,
    move,
    sequence_mask,
    tokens_at,
    use_packed_attention,
)
from bert_distillation.errors import InputError
from bert_distillation.vocabulary import Projection

FULL = 0.98  # share of the rows that are tokens, from which on the rows go through a model as they are
FLAT = ("input_ids", "token_type_ids", "position_ids")

MaskedLM = BertForMaskedLM | DistilBertForMaskedLM
Layout = tuple[dict[str, Any], Callable[[Tensor], Tensor]]  # what a body is given, and how to take the tokens' states


def require_masked_lm(model: PreTrainedModel, of: str) -> MaskedLM:
    """The model itself, if it is a BERT or DistilBERT with a masked-LM head."""
    if not isinstance(model, MaskedLM):
        raise InputError(f"{of}: this is a {type(model).__name__}; give a BERT or DistilBERT with a masked-LM head.")
    return model


def freeze_idle_biases(model: MaskedLM) -> None:
    """Leave out of training what changes nothing: a key's bias moves all scores of a query alike.

    Its gradient is 0 but for rounding, which Adam would make steps of, other ones for each number of processes.
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.k_lin.bias", "attention.self.key.bias")):
            parameter.requires_grad_(False)
    # Where embeddings and vocabulary layer have weights of their own, BERT's head has a bias that nothing reads.
    if isinstance(model, BertForMaskedLM) and model.cls.predictions.bias is not model.cls.predictions.decoder.bias:
        model.cls.predictions.bias.requires_grad_(False)


def last_hidden_states(
    model: MaskedLM, attention_mask: Tensor, token_type_ids: Tensor, **inputs: Tensor | None
) -> Tensor:
    """(B, T, D) hidden states of the last layer; token types go to BERT alone, DistilBERT has none.

    attention_mask, token_type_ids and input_ids: (B, T), int64; or inputs_embeds: (B, T, D) in place of input_ids.
    """
    if isinstance(model, DistilBertForMaskedLM):
        return model.distilbert(attention_mask=attention_mask, **inputs).last_hidden_state
    return model.bert(attention_mask=attention_mask, token_type_ids=token_type_ids, **inputs).last_hidden_state


def packed_hidden_states(model: MaskedLM, batch: dict[str, Tensor], words: Tensor | None = None) -> Tensor:
    """(N, D) hidden states of the last layer for a batch of `MaskedSequences`: each sequence's as if it were alone.

    words: (V, D) in place of the model's word embeddings, from `shared_weights`.
    """
    use_packed_attention(model)
    num_tokens, places, sequences = len(batch["input_ids"]), batch["places"], batch["sequence_ids"]
    device, heads = model.device, model.config.num_attention_heads
    dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else model.dtype
    flat = {name: batch[name] for name in FLAT}
    if num_tokens == 0:  # all parameters take part in a step, also in a process that has nothing to read in it
        places, sequences = places.new_zeros(1), places.new_ones(1, 1)
        flat = dict.fromkeys(FLAT, places)
    if num_tokens and has_varlen_kernel(device, dtype, model.config.hidden_size // heads):
        inputs, take = _as_sequences(flat, places, batch["cu_seqlens"], sequences.shape[1])
    else:
        # Above a share, to move tokens in each layer costs more than the padding.
        lay_out = _as_rows if num_tokens >= FULL * sequences.numel() else _as_tokens
        inputs, take = lay_out(flat, places, sequences)
        inputs["attention_mask"] = sequence_mask(sequences, heads, dtype)
    with _precise_as_products(model):
        hidden_states = last_hidden_states(model, **_with_words(model, inputs, words))
    return take(hidden_states)[:num_tokens]


def text_hidden_states(model: MaskedLM, input_ids: Tensor, lengths: Tensor) -> Tensor:
    """(N, D) hidden states of the last layer for texts of one type each, a text a row.

    input_ids: (N,) the texts after one another; lengths: (B,) their tokens; both int64.
    """
    sequence_ids = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    places = sequence_ids.flatten().nonzero()[:, 0]
    ends = lengths.cumsum(0, dtype=torch.int32)
    batch = {
        "input_ids": input_ids,
        "token_type_ids": torch.zeros_like(input_ids),
        "position_ids": places % sequence_ids.shape[1],
        "places": places,
        "sequence_ids": sequence_ids,
        "cu_seqlens": F.pad(ends, (1, 0)),
    }
    return packed_hidden_states(model, {name: part.to(model.device) for name, part in batch.items()})


def _as_sequences(flat: dict[str, Tensor], places: Tensor, cu_seqlens: Tensor, longest: int) -> Layout:
    """The sequences after one another, without rows."""
    in_order = places.argsort()
    ranks = tokens_at(in_order, len(in_order))
    inputs: dict[str, Any] = {name: part[in_order][None] for name, part in flat.items()}
    # transformers passes a mask of four dimensions on as it is; of none it would make one of tokens x tokens.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=places.device)
    inputs |= {"cu_seqlens": cu_seqlens, "longest": longest, "attention_mask": mask}
    return inputs, lambda states: move(states.flatten(0, 1), ranks, in_order)


def _as_rows(flat: dict[str, Tensor], places: Tensor, sequences: Tensor) -> Layout:
    """Rows with what little padding they have."""
    grid = torch.zeros_like(sequences).flatten()
    inputs = {name: grid.index_copy(0, places, part).view_as(sequences) for name, part in flat.items()}
    return inputs, lambda states: gather(states.flatten(0, 1), places)


def _as_tokens(flat: dict[str, Tensor], places: Tensor, sequences: Tensor) -> Layout:
    """The tokens as they come, with the way to their places in the rows of attention."""
    inputs: dict[str, Any] = {name: part[None] for name, part in flat.items()}
    inputs["placement"] = places, tokens_at(places, sequences.numel())
    return inputs, lambda states: states.flatten(0, 1)


def _with_words(model: MaskedLM, inputs: dict[str, Tensor], words: Tensor | None) -> dict[str, Tensor]:
    """The inputs with their words looked up, if not in the model's own embeddings."""
    if words is None:
        return inputs
    found = F.embedding(inputs["input_ids"], words, model.config.pad_token_id, sparse=True)
    return {name: part for name, part in inputs.items() if name != "input_ids"} | {"inputs_embeds": found}


@contextmanager
def _precise_as_products(model: MaskedLM) -> Iterator[None]:
    """Under autocast to bf16, all that the layers add up and normalise is as precise as what they multiply.

    Left in single precision, as autocast does, the embeddings would double what is kept for the backward pass, and
    memory is slow. On GPUs the layers' norms have their part in it: see `layer_norms`.
    """
    device = model.device.type
    if not torch.is_autocast_enabled(device) or torch.get_autocast_dtype(device) != torch.bfloat16:
        yield
        return
    body = model.distilbert if isinstance(model, DistilBertForMaskedLM) else model.bert
    hook = body.embeddings.register_forward_hook(lambda _, __, output: output.to(torch.bfloat16))
    try:
        yield
    finally:
        hook.remove()


def shared_weights(model: MaskedLM) -> tuple[Tensor | None, Tensor | None]:
    """The word embeddings and the vocabulary layer's weights, (V, D) both, where a CPU gains from these; else None.

    They are one parameter. Its gradient from the words is that of a few rows: added as such to that of the vocabulary
    layer, it needs no matrix of its own, which a CPU, whose memory is slow, would fill and add up.
    """
    weight = model.get_input_embeddings().weight
    if weight.is_cpu and weight.requires_grad and model.get_output_embeddings().weight is weight:
        return _Shared.apply(weight)
    return None, None


class _Shared(torch.autograd.Function):
    """One matrix twice; autograd itself would add gradients of both kinds up in a new matrix."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return weight.view_as(weight), weight.view_as(weight)

    @staticmethod
    def backward(_: Any, *gradients: Tensor | None) -> Tensor | None:
        of_words, of_vocabulary = gradients
        if of_words is None or of_vocabulary is None:
            return of_words if of_vocabulary is None else of_vocabulary
        return of_vocabulary.add_(of_words)  # made by the vocabulary layer, and nobody else's


def vocabulary_projection(model: MaskedLM, hidden_states: Tensor, weight: Tensor | None = None) -> Projection:
    """The last layer, from (N, D) hidden states to the vocabulary, without doing its matrix product.

    weight: (V, D) in place of the model's own, from `shared_weights`.
    """
    if isinstance(model, DistilBertForMaskedLM):
        transformed = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden_states)))
        layer = model.vocab_projector
    else:
        transformed = model.cls.predictions.transform(hidden_states)
        layer = model.cls.predictions.decoder
    return Projection(transformed, layer.weight if weight is None else weight, layer.bias)


def vocabulary_logits(model: MaskedLM, hidden_states: Tensor) -> Tensor:
    """(N, V) logits over the vocabulary for (N, D) hidden states."""
    return vocabulary_projection(model, hidden_states).logits()
