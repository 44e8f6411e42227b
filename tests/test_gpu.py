"""What only a GPU can do: torch's kernels for it, and autocast as it is there."""

import pytest
import torch

from bert_distillation import attention
from bert_distillation.attention import by_sequences, has_varlen_kernel
from bert_distillation.compiling import compile_layers
from bert_distillation.layer_norms import keep_half_precision
from bert_distillation.losses import Distillation
from bert_distillation.masked_lm import packed_hidden_states
from bert_distillation.precision import DTYPES
from bert_distillation.student import student_from_teacher
from small_batches import packed_batch
from small_models import small_bert

GPU = torch.device("cuda")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
LENGTHS, WIDTH, HEADS = (5, 40, 64, 19), 64, 3  # one row of 128 tokens


def own_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Of one sequence, (H, T, d), in single precision; `kept` is what each share is multiplied with."""
    return ((query @ key.transpose(1, 2) * WIDTH**-0.5).softmax(-1) * kept) @ value


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_attention_by_sequences_drops_shares_and_has_their_gradient(dropout):
    assert has_varlen_kernel(GPU, torch.bfloat16, WIDTH)
    torch.manual_seed(0)
    query, key = (torch.randn(1, HEADS, 128, WIDTH, device=GPU, dtype=torch.bfloat16) for _ in range(2))
    # Values that tell which key they belong to: what comes out is the shares themselves.
    value = torch.cat([torch.eye(WIDTH)[:length] for length in LENGTHS]).expand(1, HEADS, -1, -1).to(query)
    cu_seqlens = torch.tensor([0, *LENGTHS], device=GPU).cumsum(0).int()
    states = [part.detach().clone().requires_grad_() for part in (query, key, value)]
    mixed = by_sequences(*states, cu_seqlens, max(LENGTHS), dropout, None)[0].transpose(0, 1)
    towards = torch.randn_like(mixed)
    mixed.backward(towards)

    precise = [part.detach().float().requires_grad_() for part in (query[0], key[0], value[0])]
    parts = zip(mixed.float().split(LENGTHS, 1), *(part.split(LENGTHS, 1) for part in precise), strict=True)
    expected, kept_shares = [], []
    for found, *own in parts:
        shares = (own[0] @ own[1].transpose(1, 2) * WIDTH**-0.5).softmax(-1)
        kept = (found[..., : shares.shape[2]] / shares > 0.5).float() / (1 - dropout)
        kept_shares.append((kept > 0).float().flatten())
        expected.append(own_attention(*own, kept))
    assert abs(float(torch.cat(kept_shares).mean()) - (1 - dropout)) < 0.02
    torch.testing.assert_close(mixed.float(), torch.cat(expected, 1), atol=0.01, rtol=0.02)
    torch.cat(expected, 1).backward(towards.float())
    for half, single in zip(states, precise, strict=True):
        difference = (half.grad[0].float() - single.grad).norm() / single.grad.norm()
        assert difference < 0.01


@pytest.mark.parametrize(("precision", "halves"), [("bf16", False), ("bf16", True), ("fp16", True)])
@pytest.mark.parametrize("compiled", [False, True])
def test_losses_and_gradient_in_half_precision_are_those_of_single_precision(precision, halves, compiled, monkeypatch):
    teacher = small_bert(1).eval().to(GPU)
    student = student_from_teacher(teacher, 2).eval().to(GPU)
    batch = {name: part.to(GPU) for name, part in packed_batch(rows=((12, 3), (9, 5), (7,))).items()}
    scales = {name: torch.tensor(1e-2, device=GPU) for name in ("ce", "mlm", "cos")}
    loss, gradient = value_and_gradient(student, teacher, batch, scales)
    if halves:
        keep_half_precision(student, GPU, precision)
    if compiled:
        compile_layers(student, GPU)
    calls = []
    monkeypatch.setattr(attention, "by_sequences", lambda *args: calls.append(args) or by_sequences(*args))
    with torch.autocast("cuda", DTYPES[precision]):
        half_loss, half_gradient = value_and_gradient(student, teacher, batch, scales)
        hidden_states = packed_hidden_states(student, batch)
    assert hidden_states.dtype == (torch.bfloat16 if halves and precision == "bf16" else torch.float32)
    assert compiled or len(calls) == 4  # a call a layer of the student, twice; the teacher is in single precision
    assert half_loss == pytest.approx(loss, rel=0.02)
    assert (half_gradient - gradient).norm() / gradient.norm() < 0.05


def value_and_gradient(student, teacher, batch, scales):
    student.zero_grad()
    total, _ = Distillation(student, teacher, 2.0, False)(batch, scales)
    (total * 2**10).backward()  # as a scaler does, or fp16 would lose the small ones
    parts = [part.grad.flatten() for part in student.parameters() if part.grad is not None]
    return float(total.detach()), torch.cat(parts) / 2**10
