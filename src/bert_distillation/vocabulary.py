"""The losses of the vocabulary layer, a chunk of tokens at a time, with gradients made in the forward pass.

Logits are the largest tensors of a distillation step: tokens x vocabulary, of teacher and student. Here those of one
chunk are there at a time. From them come the losses, the gradient of the logits and, at once, the gradients of hidden
states and weights: four matrix products a token, nothing computed twice and nothing kept for a backward pass.
Sizes: N tokens, of which the first M are masked; V words; D and E hidden units of student and teacher.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = {"cpu": 2**25, "cuda": 2**29}  # of one tensor of logits
WIDE = 16_384  # words from which compiled kernels are worth the time it takes to compile them


@dataclass(frozen=True)
class Projection:
    """What goes into a vocabulary layer, and its parameters."""

    hidden_states: Tensor  # (N, D)
    weight: Tensor  # (V, D)
    bias: Tensor  # (V,)

    def logits(self, rows: slice) -> Tensor:
        """(n, V) logits of some of the tokens."""
        return torch.addmm(self.bias, self.hidden_states[rows], self.weight.t())


def vocabulary_losses(
    student: Projection, labels: Tensor, scales: dict[str, Tensor], teacher: Projection | None, temperature: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The scaled sum of the losses, which has gradients, and each loss summed over its tokens, which has none.

    labels: (M,) the true words of the first M tokens. scales: `mlm` and, with a teacher, `ce`: what each sum is
    multiplied with. teacher: for the first tokens of the student's, as many as have soft targets.
    """
    dtype = _compute_dtype(student.hidden_states)
    total, ce, mlm = _VocabularyLosses.apply(
        student.hidden_states, student.weight, student.bias, labels, scales, teacher, temperature, dtype
    )
    return total, {"mlm": mlm} if teacher is None else {"ce": ce, "mlm": mlm}


class _VocabularyLosses(torch.autograd.Function):
    """See `vocabulary_losses`.

    A gradient in half precision that carries the scale from the beginning would underflow: 1 / tokens of the step is
    small. So the larger scale is left out of what is added up, and multiplied in by `backward`, where the factor of a
    gradient scaler comes in, too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_states: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        scales: dict[str, Tensor],
        teacher: Projection | None,
        temperature: float,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(hidden_states.device.type, enabled=False):
            student = Projection(hidden_states.to(dtype), weight.to(dtype), bias.to(dtype))
            base = torch.stack(list(scales.values())).max().clamp(min=torch.finfo(torch.float32).tiny)
            shares = {name: scale / base for name, scale in scales.items()}
            sums, gradients = _losses_and_gradients(student, weight.dtype, labels, shares, teacher, temperature)
        total = sum(shares[name] * sums[name] for name in shares) * base
        ctx.base, ctx.dtype, ctx.gradients = base, hidden_states.dtype, gradients
        ce = sums.get("ce", torch.zeros_like(sums["mlm"]))
        ctx.mark_non_differentiable(ce, sums["mlm"])
        return total, ce, sums["mlm"]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0] * ctx.base
        if torch._C._autograd._get_current_graph_task_keep_graph():
            of_hidden, of_weight, of_bias = (gradient * scale for gradient in ctx.gradients)
        else:  # in place: the gradient of the weights is as large as they are, and comes when memory is fullest
            of_hidden, of_weight, of_bias = (gradient.mul_(scale) for gradient in ctx.gradients)
        return of_hidden.to(ctx.dtype), of_weight, of_bias, *[None] * 5


def _losses_and_gradients(
    student: Projection,
    accumulate: torch.dtype,
    labels: Tensor,
    shares: dict[str, Tensor],
    teacher: Projection | None,
    temperature: float,
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Sums of the losses, and the gradients of their weighted sum by hidden states, weight and bias."""
    precise = torch.promote_types(accumulate, torch.float32)
    sums = {name: torch.zeros((), dtype=precise, device=labels.device) for name in shares}
    of_hidden = torch.zeros_like(student.hidden_states)
    of_weight = torch.zeros_like(student.weight, dtype=accumulate)
    of_bias = torch.zeros_like(student.bias, dtype=accumulate)
    num_soft = len(teacher.hidden_states) if teacher else 0
    for rows, is_masked, is_soft in _chunks(len(labels), num_soft, student.weight):
        logits, gradient = student.logits(rows), None
        if teacher and is_soft:
            losses, gradient = _kernel(soft_targets, logits)(logits, teacher.logits(rows), temperature, shares["ce"])
            sums["ce"] += losses.sum()
        if is_masked:
            losses, of_words = _kernel(true_words, logits)(logits, labels[rows], shares["mlm"])
            sums["mlm"] += losses.sum()
            gradient = of_words if gradient is None else gradient.add_(of_words)
            del of_words
        del logits
        assert gradient is not None
        torch.mm(gradient, student.weight, out=of_hidden[rows])
        _add_product(of_weight, gradient.t(), student.hidden_states[rows])
        of_bias += gradient.sum(dim=0, dtype=accumulate)
    return sums, (of_hidden, of_weight, of_bias)


def soft_targets(logits: Tensor, teacher_logits: Tensor, temperature: float, share: Tensor) -> tuple[Tensor, Tensor]:
    """KL(teacher || student) of the softened distributions times T^2, and `share` of its gradient by the logits.

    logits, teacher_logits: (n, V). Returns (n,) in single precision or better, and (n, V) in the type of the logits.
    """
    log_probs = torch.log_softmax(_precise(logits) / temperature, dim=-1)
    targets = torch.log_softmax(_precise(teacher_logits) / temperature, dim=-1)
    probs = targets.exp()
    losses = (probs * (targets - log_probs)).sum(dim=-1) * temperature**2
    return losses, ((log_probs.exp() - probs) * (temperature * share)).to(logits.dtype)


def true_words(logits: Tensor, labels: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy with the true words, and `share` of its gradient by the logits.

    logits: (n, V). labels: (n,). Returns (n,) in single precision or better, and (n, V) in the type of the logits.
    """
    log_probs = torch.log_softmax(_precise(logits), dim=-1)
    losses = -log_probs.gather(1, labels[:, None])[:, 0]
    is_true = torch.arange(logits.shape[1], device=logits.device) == labels[:, None]
    return losses, ((log_probs.exp() - is_true.to(log_probs.dtype)) * share).to(logits.dtype)


def _chunks(num_masked: int, num_soft: int, weight: Tensor) -> Iterator[tuple[slice, bool, bool]]:
    """Slices of the tokens, all of one kind: whether they are masked, and whether they have soft targets."""
    limit = CHUNK_BYTES.get(weight.device.type, CHUNK_BYTES["cpu"]) // (len(weight) * weight.element_size())
    for begin, end in itertools.pairwise(sorted({0, num_masked, num_soft})):
        parts = -(-(end - begin) // max(limit, 1))
        size = -(-(end - begin) // parts)
        for start in range(begin, end, size):
            yield slice(start, min(start + size, end)), start < num_masked, start < num_soft


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, added up in the type of `total`."""
    if total.dtype == right.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


@functools.cache
def _warn_once(reason: str) -> None:
    print(f"The vocabulary layer runs without compiled kernels, which takes longer: {reason}", flush=True)


def _precise(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _compute_dtype(hidden_states: Tensor) -> torch.dtype:
    device = hidden_states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_states.dtype


Kernel = Callable[..., tuple[Tensor, Tensor]]


def _kernel(function: Kernel, logits: Tensor) -> Kernel:
    return _compiled(function) if logits.shape[1] >= WIDE and logits.dtype != torch.float64 else function


@functools.cache
def _compiled(function: Kernel) -> Kernel:
    """The function in one pass over the logits; as it is where this machine has no compiler."""
    chosen = torch.compile(function, dynamic=True)

    def call(*arguments: Any) -> tuple[Tensor, Tensor]:
        nonlocal chosen
        try:
            return chosen(*arguments)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            _warn_once(str(error).strip().splitlines()[0])
            chosen = function  # to look for a compiler takes long, and there will be none the next time
            return function(*arguments)

    return call
