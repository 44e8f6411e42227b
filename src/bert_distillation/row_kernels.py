"""The row kernels of the losses: these and their gradients, row by row, in few passes over what they read.

They are written as plain functions and compiled for wide vocabularies and, the one of hidden states, for GPUs. Sizes:
n tokens, V words, D hidden units.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WIDE = 16_384  # words from which compiled kernels are worth the time it takes to compile them
LARGE = 2**20  # numbers from which it pays for an addition
SHORTEST = 1e-8  # length of hidden states that torch's cosine similarity divides by at least

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
        losses: Tensor = compiled(_soft_targets, logits)(*both, 1 / temperature, share)
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


def cosine_distances(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """1 - cosine similarity of each row, and its gradient by the states.

    Both: (n, D). Returns (n,) in single precision or better, and (n, D) in the type of the states.
    """
    pays = states.device.type != "cpu" and states.dtype != torch.float64 and len(states) > 0
    return (_compiled(_cosine_distances) if pays else _cosine_distances)(states, targets)


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
    print(f"The losses are computed without compiled kernels, which takes longer: {reason}", flush=True)


def _soft_targets(
    logits: Tensor, bias: Tensor, teacher_logits: Tensor, teacher_bias: Tensor, inverse: float, share: Tensor
) -> Tensor:
    """inverse: 1 / temperature, because a division of each logit takes longer."""
    log_probs = torch.log_softmax(_biased(logits, bias) * inverse, dim=-1)
    targets = torch.log_softmax(_biased(teacher_logits, teacher_bias) * inverse, dim=-1)
    probs = targets.exp()
    losses = (probs * (targets - log_probs)).sum(dim=-1) / inverse**2
    logits.copy_((log_probs.exp() - probs) * (share / inverse))
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
    """The losses; of each distribution the sum of its exponentials; and the exponentials in the type of the logits."""
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


def _cosine_distances(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    student, teacher = _precise(states), _precise(targets)
    length, other = (part.square().sum(dim=-1, keepdim=True).sqrt().clamp(min=SHORTEST) for part in (student, teacher))
    similarity = (student * teacher).sum(dim=-1, keepdim=True) / (length * other)
    gradient = student * (similarity / length**2) - teacher / (length * other)
    return 1 - similarity[:, 0], gradient.to(states.dtype)


def _add(total: Tensor, other: Tensor) -> None:
    total.add_(other)


def _biased(logits: Tensor, bias: Tensor) -> Tensor:
    return _precise(logits) + bias


def _precise(numbers: Tensor) -> Tensor:
    return numbers if numbers.dtype == torch.float64 else numbers.float()
