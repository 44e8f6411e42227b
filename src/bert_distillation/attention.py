"""Attention over packed tokens, as an attention implementation of transformers.

Everything in a BERT but attention works on single tokens, so a batch goes through the model as one long row of its real
tokens, without any padding. Where torch has a kernel for it, attention takes them sequence by sequence; else it alone
puts them into rows of one length, in which no sequence sees another. Rows that are full already go through the model as
they are.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PACKED = "packed"
WIDEST_HEAD = 192  # whose gradient flash attention has on all cards, with dropout too
SHORT_ROW = 256  # tokens; the scores of longer rows would take more memory than they save time


def use_packed_attention(model: PreTrainedModel) -> None:
    """Let a model take packed batches; padded ones it takes as before."""
    if model.config._attn_implementation != PACKED:
        model.set_attn_implementation(PACKED)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    placement: tuple[Tensor, Tensor] | None = None,
    cu_seqlens: Tensor | None = None,
    longest: int = 0,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention between the tokens of each sequence; by placement, by `cu_seqlens`, or of rows as they are.

    query, key, value: (1, H, N, d) of the real tokens, or (B, H, T, d). attention_mask: (B, 1, T, T), bool, which
    tokens of a row see each other; or what `sequence_mask` made of it. placement: (N,) where each token stands in the
    flattened rows, and `tokens_at` these. cu_seqlens, longest: see `by_sequences`, which has no use for a mask. Returns
    (1, N, H, d), or (B, T, H, d).
    """
    if cu_seqlens is not None:
        return by_sequences(query, key, value, cu_seqlens, longest, dropout, scaling), None
    length = query.shape[2] if placement is None or attention_mask is None else attention_mask.shape[3]
    is_slow = has_slow_kernel(query.device, query.dtype, length)
    if attention_mask is None or (placement is None and not is_slow):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
    rows = len(attention_mask)
    if placement is not None:
        query, key, value = (_to_rows(states, *placement, rows) for states in (query, key, value))
    attend = by_products if is_slow else F.scaled_dot_product_attention
    mixed = attend(query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling).transpose(1, 2)
    if placement is None:
        return mixed, None
    heads, width = mixed.shape[2:]
    return move(mixed.reshape(rows * length, heads * width), *placement).view(1, -1, heads, width), None


def tokens_at(places: Tensor, size: int) -> Tensor:
    """(size,) which token stands at each place, from the (N,) places of the tokens: the way back.

    Where none does, in the padding, it is the first one: nothing that is read depends on what stands there.
    """
    tokens = places.new_zeros(size)
    tokens[places] = torch.arange(len(places), device=places.device)
    return tokens


def gather(rows: Tensor, places: Tensor) -> Tensor:
    """(rows, D) -> (N, D) the rows at some places, each of them once."""
    return _Gather.apply(rows, places)


def move(states: Tensor, indices: Tensor, back: Tensor) -> Tensor:
    """(n, D) -> (m, D) the states at (m,) indices; `back`, (n,), is where each of them went."""
    return _Move.apply(states, indices, back)


def has_slow_kernel(device: torch.device, dtype: torch.dtype, length: int) -> bool:
    """Whether torch's kernel is slower than plain matrix products: on a CPU in bf16, where these are oneDNN's."""
    return device.type == "cpu" and dtype == torch.bfloat16 and length <= SHORT_ROW


def has_varlen_kernel(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether torch's kernel for sequences of any length serves: flash attention, from Ampere on, in half precision.

    It computes no scores between sequences, where a mask hides scores that were computed. width: of a head, d; it does
    not pad those that it cannot read.
    """
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return False
    return width % 8 == 0 and width <= WIDEST_HEAD and torch.cuda.get_device_capability(device) >= (8, 0)


def by_sequences(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seqlens: Tensor,
    longest: int,
    dropout: float,
    scale: float | None,
) -> Tensor:
    """Attention of each sequence alone, for sequences after one another, (1, H, N, d) -> (1, N, H, d).

    cu_seqlens: (S + 1,), int32, where each sequence begins, and where the last ends. longest: no sequence is longer.
    """
    flat = (states.transpose(1, 2).flatten(0, 1) for states in (query, key, value))
    # `varlen_attn` is this without dropout, and takes a tenth of a millisecond of the CPU on the way to it.
    forward = torch.ops.aten._flash_attention_forward
    sizes = cu_seqlens, cu_seqlens, longest, longest
    mixed: Tensor = forward(*flat, *sizes, dropout, False, False, scale=scale)[0]
    return mixed[None]


def sequence_mask(sequence_ids: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Which tokens of a row see each other, (B, 1, T, T), or what `by_products` adds to the scores, (B, H, T, T).

    sequence_ids: (B, T). dtype: of the scores. Made once, it serves all layers.
    """
    seen = sequence_ids[:, None, :, None] == sequence_ids[:, None, None, :]
    if not has_slow_kernel(sequence_ids.device, dtype, sequence_ids.shape[1]):
        return seen
    return _hidden_scores(seen, dtype).expand(-1, heads, -1, -1).contiguous()


def _hidden_scores(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)


def by_products(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, dropout_p: float, scale: float | None
) -> Tensor:
    """What `F.scaled_dot_product_attention` does, with its scores held in memory."""
    rows, heads, length, width = query.shape
    hidden = attn_mask if attn_mask.is_floating_point() else _hidden_scores(attn_mask, query.dtype)
    hidden = hidden.expand(rows, heads, length, length).flatten(0, 1)
    query, key, value = (states.flatten(0, 1) for states in (query, key, value))
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=width**-0.5 if scale is None else scale)
    mixed = torch.bmm(F.dropout(scores.softmax(dim=-1), dropout_p), value)
    return mixed.view(rows, heads, length, width)


def _to_rows(states: Tensor, places: Tensor, tokens: Tensor, rows: int) -> Tensor:
    """(1, H, N, d) -> (B, H, T, d)."""
    _, heads, count, width = states.shape
    flat = states.transpose(1, 2).reshape(count, heads * width)
    return move(flat, tokens, places).view(rows, -1, heads, width).transpose(1, 2)


class _Move(torch.autograd.Function):
    """States to other places. A state has the gradient of the one place that `back` names, none of those of padding.

    torch's own gradient of indexing would add up those of all places.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, indices: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return states.index_select(0, indices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (back,) = ctx.saved_tensors
        return gradients[0].index_select(0, back), None, None


class _Gather(torch.autograd.Function):
    """Rows at some places; the others have no gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(states)
        return states.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        rows = gradients[0].new_zeros(ctx.size, gradients[0].shape[1])
        rows[places] = gradients[0]
        return rows, None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
