"""Which numeric precision this machine trains in."""

import torch

from bert_distillation.errors import InputError

PRECISIONS = ("auto", "no", "fp16", "bf16")


def resolve_precision(mixed_precision: str) -> str:
    """no, fp16 or bf16 for what was asked; auto takes bf16 or, before Ampere, fp16 on a GPU, and none on a CPU."""
    if mixed_precision == "auto":
        if not torch.cuda.is_available():
            return "no"
        return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    if mixed_precision == "fp16" and not torch.cuda.is_available():
        raise InputError("mixed_precision fp16 needs a GPU; give bf16 or no on a CPU.")
    return mixed_precision
