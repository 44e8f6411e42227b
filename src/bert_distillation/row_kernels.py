"""The row kernels of the vocabulary layer: losses and gradients by the logits, row by row, in few passes over them.

They are written as plain functions and compiled for wide vocabularies. Sizes: n tokens, V words.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WIDE = 16_384  # words from which compiled kernels are worth the time it takes to compile them
LARGE = 2**20  # numbers from which it pays for an addition

Kernel = Callable[..., Any]


def soft_targets(
    logits: Tensor, bias: Tensor, teacher_logits: Tensor, teacher_bias: Tensor, temperature: float, share: Tensor
) -> Tensor:
    """KL(teacher || student) of the softened distributions times T^2; `share` of its gradient takes the logits' place.

    logits, teacher_logits: (n, V), to which bias and teacher_bias, (V,), come. Returns (n,) in single precision or
    better.
    """
    both = (logits, bias, teacher_logits, teacher_bias)
    if logits.device.type != "cpu":
        losses: Tensor = compiled(_soft_targets, logits)(*both, temperature, share)
        return losses
    # In one kernel, compiled code for CPUs would compute each exponential anew for the sums and for the gradient.
    maxima = compiled(_row_maxima, logits)(*both)
    losses, sums, powers = compiled(_soft_target_powers, logits)(*both, 1 / temperature, maxima)
    compiled(_soft_target_gradient, logits)(logits, *powers, *sums, temperature * share)
    return losses


def true_words(logits: Tensor, bias: Tensor, labels: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy with the true words, and `share` of its gradient by the logits.

    logits: (n, V), to which bias, (V,), comes. labels: (n,). Returns (n,) in single precision or better, and (n, V) in
    the type of the logits.
    """
    return compiled(_true_words, logits)(logits, bias, labels, share)


def add(total: Tensor, other: Tensor) -> None:
    """total += other, both (words, D), of any types; without a copy of `other` in the type of `total`."""
    (_compiled(_add) if total.numel() >= LARGE else _add)(total, other)


def compiled(function: Kernel, logits: Tensor) -> Kernel:
    """The function as it is or, where rows are wide, compiled."""
    return _compiled(function) if logits.shape[1] >= WIDE and logits.dtype != torch.float64 else function


@functools.cache
def _compiled(function: Kernel) -> Kernel:
    """The function in one pass; as it is where this machine has no compiler."""
    # With a fixed number of words the kernel for an H100 took a fifth longer.
    chosen = torch.compile(function, dynamic=True)

    def call(*arguments: Any) -> Any:
        nonlocal chosen
        try:
            return chosen(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:  # no compiler, no Triton, a GPU too old for it
            cause = getattr(error, "inner_exception", error)
            _warn_once((str(cause).strip() or repr(cause)).splitlines()[0])
            chosen = function  # to look for a compiler takes long, and there will be none the next time
            return function(*arguments)

    return call


@functools.cache
def _warn_once(reason: str) -> None:
    print(f"The vocabulary layer runs without compiled kernels, which takes longer: {reason}", flush=True)


def _soft_targets(
    logits: Tensor, bias: Tensor, teacher_logits: Tensor, teacher_bias: Tensor, temperature: float, share: Tensor
) -> Tensor:
    log_probs = torch.log_softmax(_softened(logits, bias, temperature), dim=-1)
    targets = torch.log_softmax(_softened(teacher_logits, teacher_bias, temperature), dim=-1)
    probs = targets.exp()
    losses = (probs * (targets - log_probs)).sum(dim=-1) * temperature**2
    logits.copy_((log_probs.exp() - probs) * (temperature * share))
    return losses


def _row_maxima(logits: Tensor, bias: Tensor, teacher_logits: Tensor, teacher_bias: Tensor) -> tuple[Tensor, Tensor]:
    student, teacher = _biased(logits, bias), _biased(teacher_logits, teacher_bias)
    return student.amax(dim=-1, keepdim=True), teacher.amax(dim=-1, keepdim=True)


def _soft_target_powers(
    logits: Tensor,
    bias: Tensor,
    teacher_logits: Tensor,
    teacher_bias: Tensor,
    inverse: float,
    maxima: tuple[Tensor, Tensor],
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The losses; of each distribution the sum of its exponentials; and the exponentials in the type of the logits.

    inverse: 1 / temperature. To divide each logit by the temperature would take a tenth longer.
    """
    student = (_biased(logits, bias) - maxima[0]) * inverse
    teacher = (_biased(teacher_logits, teacher_bias) - maxima[1]) * inverse
    powers, targets = student.exp(), teacher.exp()
    sums = powers.sum(dim=-1, keepdim=True), targets.sum(dim=-1, keepdim=True)
    mean = (targets * (teacher - student)).sum(dim=-1, keepdim=True) / sums[1]
    losses = (mean + sums[0].log() - sums[1].log())[:, 0] / inverse**2
    return losses, sums, (powers.to(logits.dtype), targets.to(logits.dtype))


def _soft_target_gradient(
    out: Tensor, powers: Tensor, targets: Tensor, sum_: Tensor, target_sum: Tensor, scale: Tensor
) -> None:
    out.copy_(powers * (scale / sum_) - targets * (scale / target_sum))


def _true_words(logits: Tensor, bias: Tensor, labels: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    log_probs = torch.log_softmax(_biased(logits, bias), dim=-1)
    losses = -log_probs.gather(1, labels[:, None])[:, 0]
    is_true = torch.arange(logits.shape[1], device=logits.device) == labels[:, None]
    return losses, ((log_probs.exp() - is_true.to(log_probs.dtype)) * share).to(logits.dtype)


def _add(total: Tensor, other: Tensor) -> None:
    total.add_(other)


def _softened(logits: Tensor, bias: Tensor, temperature: float) -> Tensor:
    return _biased(logits, bias) / temperature


def _biased(logits: Tensor, bias: Tensor) -> Tensor:
    return (logits if logits.dtype == torch.float64 else logits.float()) + bias
