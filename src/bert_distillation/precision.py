"""Which numeric precision this machine trains in."""

import torch

from bert_distillation.errors import InputError

PRECISIONS = ("auto", "no", "fp16", "bf16")
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_precision(mixed_precision: str) -> str:
    """no, fp16 or bf16 for what was asked; auto takes what the hardware multiplies matrices fastest in.

    On a GPU that is bf16 or, before Ampere, fp16; on a CPU bf16 where it has instructions for it, else no.
    """
    if mixed_precision == "auto":
        if torch.cuda.is_available():
            return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
        return "bf16" if cpu_has_bf16() else "no"
    if mixed_precision == "fp16" and not torch.cuda.is_available():
        raise InputError("mixed_precision fp16 needs a GPU; give bf16 or no on a CPU.")
    return mixed_precision


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices itself, with AVX-512 or AMX; without, bf16 is slower than fp32."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
