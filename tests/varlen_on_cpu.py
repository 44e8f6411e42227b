"""torch's attention for sequences of any length has a kernel for GPUs alone; here is one for CPUs, by plain torch.

Importing it registers the kernel, so that `varlen_attn` itself, with its checks, its gradient and what torch.compile
knows of it, runs in a test.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import varlen

calls: list[str] = []  # of the kernel, forward and backward


@varlen._varlen_attn.register_kernel("cpu")
def _forward(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, scale=None, *_):
    calls.append("forward")
    lengths = cu_seq_q.diff()
    assert cu_seq_q.dtype == torch.int32
    assert torch.equal(cu_seq_q, cu_seq_k)
    assert (int(cu_seq_q[0]), int(cu_seq_q[-1])) == (0, len(query))
    assert int(lengths.min()) > 0
    assert int(lengths.max()) <= min(max_q, max_k)
    assert not is_causal
    parts = zip(*(_by_sequence(states, cu_seq_q) for states in (query, key, value)), strict=True)
    mixed = torch.cat([F.scaled_dot_product_attention(*part, scale=scale) for part in parts], 1).transpose(0, 1)
    return mixed.contiguous(), query.new_zeros(query.shape[1], len(query)), torch.zeros(2, dtype=torch.uint64)


@varlen._varlen_attn_backward.register_kernel("cpu")
def _backward(
    gradient, query, key, value, out, lse, cu_seq_q, cu_seq_k, max_q, max_k, is_causal, state, scale=None, *_
):
    calls.append("backward")
    parts = zip(*(_by_sequence(states, cu_seq_q) for states in (gradient, query, key, value)), strict=True)
    made = [_gradients(*part, query.shape[2] ** -0.5 if scale is None else scale) for part in parts]
    return tuple(torch.cat(one, 1).transpose(0, 1).contiguous() for one in zip(*made, strict=True))


def _gradients(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, ...]:
    """By query, key and value, all (H, T, d), of softmax(scale query key^T) value."""
    shares = (scale * query @ key.transpose(1, 2)).softmax(-1)
    of_shares = gradient @ value.transpose(1, 2)
    of_scores = scale * shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True))
    return of_scores @ key, of_scores.transpose(1, 2) @ query, shares.transpose(1, 2) @ gradient


def _by_sequence(states: Tensor, cu_seqlens: Tensor) -> tuple[Tensor, ...]:
    """(N, H, d) -> (H, T, d) of each sequence."""
    return states.transpose(0, 1).split(cu_seqlens.diff().tolist(), 1)
