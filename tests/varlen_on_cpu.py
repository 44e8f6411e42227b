"""torch's attention for sequences of any length has kernels for GPUs alone; here are some for CPUs, by plain torch.

Importing it registers the kernels, so that their gradient, and what torch.compile knows of them, run in a test.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

calls: list[tuple[str, float]] = []  # of the kernels, forward and backward, with their dropout
_library = torch.library.Library("aten", "IMPL")


def _forward(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, dropout, is_causal, debug, *, scale=None, **_):
    """Drops nothing, so that it can be compared."""
    calls.append(("forward", dropout))
    lengths = cu_seq_q.diff()
    assert cu_seq_q.dtype == torch.int32
    assert torch.equal(cu_seq_q, cu_seq_k)
    assert (int(cu_seq_q[0]), int(cu_seq_q[-1])) == (0, len(query))
    assert int(lengths.min()) > 0
    assert int(lengths.max()) <= min(max_q, max_k)
    assert not is_causal
    parts = zip(*(_by_sequence(states, cu_seq_q) for states in (query, key, value)), strict=True)
    mixed = torch.cat([F.scaled_dot_product_attention(*part, scale=scale) for part in parts], 1).transpose(0, 1)
    unused = query.new_zeros(2, dtype=torch.uint64), query.new_zeros((), dtype=torch.uint64), query.new_zeros(0)
    return mixed.contiguous(), query.new_zeros(query.shape[1], len(query), dtype=torch.float32), *unused


def _backward(
    gradient, query, key, value, out, lse, cu_seq_q, cu_seq_k, max_q, max_k, dropout, is_causal, *_, scale=None, **__
):
    calls.append(("backward", dropout))
    parts = [_by_sequence(states, cu_seq_q) for states in (gradient, query, key, value)]
    made = [_gradients(*part, query.shape[2] ** -0.5 if scale is None else scale) for part in zip(*parts, strict=True)]
    return tuple(torch.cat(one, 1).transpose(0, 1).contiguous() for one in zip(*made, strict=True))


_library.impl("_flash_attention_forward", _forward, "CPU")
_library.impl("_flash_attention_backward", _backward, "CPU")


def _gradients(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, ...]:
    """By query, key and value, all (H, T, d), of softmax(scale query key^T) value."""
    shares = (scale * query @ key.transpose(1, 2)).softmax(-1)
    of_shares = gradient @ value.transpose(1, 2)
    of_scores = scale * shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True))
    return of_scores @ key, of_scores.transpose(1, 2) @ query, shares.transpose(1, 2) @ gradient


def _by_sequence(states: Tensor, cu_seqlens: Tensor) -> tuple[Tensor, ...]:
    """(N, H, d) -> (H, T, d) of each sequence."""
    return states.transpose(0, 1).split(cu_seqlens.diff().tolist(), 1)
