"""The losses of the vocabulary layer, a chunk of tokens at a time, with gradients made in the forward pass.

Logits are the largest tensors of a distillation step: tokens x vocabulary, of teacher and student. Here those of one
chunk are there at a time. From them come the losses, the gradient of the logits and, at once, the gradients of hidden
states and weights: four matrix products a token, nothing computed twice and nothing kept for a backward pass.
Sizes: N tokens, of which the first M are masked; V words; D and E hidden units of student and teacher.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bert_distillation import row_kernels

CHUNK_BYTES = {"cpu": 2**25, "cuda": 2**29}  # of one tensor of logits
WORDS_AT_A_TIME = 8192  # of the gradient of the weights in half precision, before it is added up in single precision
# What sums over the tokens of a chunk are made smaller by while they are in fp16, which ends at 65,504; no scaler helps
# there, for its factor comes in later. A power of two: only what is next to nothing is rounded.
ROOM = {torch.float16: 2.0**-6}
# By device and bytes of a number: where rows of logits are a multiple of it, tensor cores (NVIDIA's guide) and AMX are
# fast. With AMX, logits of 30,528 words take 60 to 75 % of the time of those of 30,522.
WORDS_OF_A_VECTOR = {("cuda", 2): 8, ("cuda", 4): 8, ("cpu", 2): 32}
NO_WORD = -1e30  # bias of words that are none: at any temperature their probability is 0, and no sum has an inf in it
PART_BYTES = {"cpu": 2**23, "cuda": 2**29}  # of the logits that the row kernels get at a time: a CPU's cache


@dataclass(frozen=True)
class Projection:
    """What goes into a vocabulary layer, and its parameters."""

    hidden_states: Tensor  # (N, D)
    weight: Tensor  # (V, D), or of more words if `aligned`
    bias: Tensor  # (V,)

    def logits(self) -> Tensor:
        """(N, V) logits of all tokens."""
        return torch.addmm(self.bias.to(self.weight.dtype), self.hidden_states, self.weight.t())

    def products(self) -> Tensor:
        """(N, V) logits without the bias, which the row kernels add while they read."""
        has_products = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
        if self.weight.dtype == torch.float32 and self.weight.device.type == "cpu" and has_products:
            # The same product by oneDNN: for a result so wide, MKL, which `mm` uses, takes up to twice as long.
            return torch.ops.mkldnn._linear_pointwise(self.hidden_states, self.weight, None, "none", [], "")
        return torch.mm(self.hidden_states, self.weight.t())

    def aligned(self, dtype: torch.dtype | None = None) -> "Projection":
        """The same in `dtype`, if given, with words that are never taken: as many as this device is fast with.

        The bias stays in single precision or better: fp16, which ends at 65,504, has no `NO_WORD`.
        """
        weight, dtype = self.weight, dtype or self.weight.dtype
        precise = self.bias.to(torch.promote_types(self.bias.dtype, torch.float32))
        missing = -len(weight) % WORDS_OF_A_VECTOR.get((weight.device.type, dtype.itemsize), 1)
        if not missing:
            return Projection(self.hidden_states.to(dtype), weight.to(dtype), precise)
        more = weight.new_empty(len(weight) + missing, weight.shape[1], dtype=dtype)
        more[: len(weight)].copy_(weight)  # to be cast and lengthened in one pass
        more[len(weight) :].zero_()
        return Projection(self.hidden_states.to(dtype), more, F.pad(precise, (0, missing), value=NO_WORD))

    def cut(self, rows: slice) -> "Projection":
        """The same layer for some of the tokens."""
        return Projection(self.hidden_states[rows], self.weight, self.bias)


def vocabulary_losses(
    student: Projection, labels: Tensor, scales: dict[str, Tensor], teacher: Projection | None, temperature: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The scaled sum of the losses, which has gradients, and each loss summed over its tokens, which has none.

    labels: (M,) the true words of the first M tokens. scales: `mlm` and, with a teacher, `ce`: what each sum is
    multiplied with. teacher: the same N tokens, all of which have soft targets.
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
            student = Projection(hidden_states, weight, bias).aligned(dtype)
            base = torch.stack(list(scales.values())).max().clamp(min=torch.finfo(torch.float32).tiny)
            shares = {name: scale / base for name, scale in scales.items()}
            soft = teacher and teacher.aligned()
            sums, made = _losses_and_gradients(student, weight.dtype, labels, shares, soft, temperature)
        # Detached, as a view would keep autograd from adding the gradient of the tied embeddings in place.
        gradients = made[0], made[1][: len(weight)].detach(), made[2][: len(bias)]
        total = sum(shares[name] * sums[name] for name in shares) * base
        ctx.base, ctx.dtype, ctx.gradients = base, hidden_states.dtype, gradients
        ce = sums.get("ce", torch.zeros_like(sums["mlm"]))
        ctx.mark_non_differentiable(ce, sums["mlm"])
        return total, ce, sums["mlm"]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale, made = gradients[0] * ctx.base, ctx.gradients
        if torch._C._autograd._get_current_graph_task_keep_graph():
            of_hidden, of_weight, of_bias = (gradient * scale for gradient in made)
        else:  # in place: the gradient of the weights is as large as they are, and comes when memory is fullest
            of_hidden, of_weight, of_bias = (gradient.mul_(scale) for gradient in made)
            # Held here as well, it would be copied before the gradient of the tied embeddings is added to it.
            ctx.gradients = None
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
    of_weight = torch.empty_like(student.weight, dtype=accumulate)  # the first chunk fills it
    of_bias = torch.zeros_like(student.bias, dtype=accumulate)
    with_loss = len(student.hidden_states) if teacher else len(labels)
    room = ROOM.get(student.weight.dtype, 1.0)
    smaller = student.hidden_states if room == 1 else student.hidden_states * room
    if with_loss == 0:
        of_weight.zero_()
    for rows in _slices(with_loss, CHUNK_BYTES, student.weight):
        chunk = student.cut(rows), labels[rows], shares, teacher and teacher.cut(rows), temperature
        gradient, losses = _gradient_by_logits(*chunk)
        for name, loss in losses.items():
            sums[name] += loss
        torch.mm(gradient, student.weight, out=of_hidden[rows])
        _add_product(of_weight, gradient, smaller[rows], is_first=rows.start == 0)
        of_bias += gradient.new_full((1, len(gradient)), room).mm(gradient)[0]  # a product is faster than `sum`
        del gradient  # before the next chunk makes its own
    if room != 1:
        of_weight, of_bias = of_weight.div_(room), of_bias.div_(room)
    return sums, (of_hidden, of_weight, of_bias)


def _gradient_by_logits(
    student: Projection,
    labels: Tensor,
    shares: dict[str, Tensor],
    teacher: Projection | None,
    temperature: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Gradient of the weighted losses of n tokens, of which the first have labels; and each loss's sum."""
    logits = student.products()
    teacher_logits = teacher.products() if teacher else None
    sums = {name: torch.zeros((), dtype=shares[name].dtype, device=logits.device) for name in shares}
    for part in _slices(len(logits), PART_BYTES, student.weight):
        with_label = logits[part][: len(labels[part])]
        if len(with_label):
            losses, gradient = row_kernels.true_words(with_label, student.bias, labels[part], shares["mlm"])
            sums["mlm"] += losses.sum()
        if teacher and teacher_logits is not None:
            both = (logits[part], student.bias, teacher_logits[part], teacher.bias)
            sums["ce"] += row_kernels.soft_targets(*both, temperature, shares["ce"]).sum()
        if len(with_label):
            (with_label.add_ if teacher else with_label.copy_)(gradient)
    return logits, sums


def _slices(tokens: int, size: dict[str, int], weight: Tensor) -> Iterator[slice]:
    """Equal slices of tokens whose logits take up to `size` bytes."""
    limit = size.get(weight.device.type, size["cpu"]) // (len(weight) * weight.element_size())
    parts = -(-tokens // max(limit, 1))
    step = -(-tokens // max(parts, 1))
    for start in range(0, tokens, step or 1):
        yield slice(start, min(start + step, tokens))


def _add_product(total: Tensor, gradient: Tensor, hidden_states: Tensor, is_first: bool) -> None:
    """total += gradient^T @ hidden_states, (V, D), added up in the type of `total`; the first one is put there."""
    if total.dtype == gradient.dtype:
        total.addmm_(gradient.t(), hidden_states, beta=0 if is_first else 1)
        return
    put = Tensor.copy_ if is_first else row_kernels.add
    product = hidden_states.new_empty(WORDS_AT_A_TIME, hidden_states.shape[1])
    for start in range(0, len(total), WORDS_AT_A_TIME):
        words = slice(start, start + WORDS_AT_A_TIME)
        part = product[: len(total[words])]
        torch.mm(gradient[:, words].t(), hidden_states, out=part)
        put(total[words], part)


def _compute_dtype(hidden_states: Tensor) -> torch.dtype:
    device = hidden_states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_states.dtype
