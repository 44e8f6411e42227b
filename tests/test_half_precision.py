"""Distillation in half precision as a training does it: a frozen teacher, autocast and, in fp16, a gradient scaler."""

import copy

import pytest
import torch

from bert_distillation.frozen import freeze_teacher
from bert_distillation.losses import Distillation, token_counts
from bert_distillation.masked_lm import freeze_idle_biases
from bert_distillation.student import student_from_teacher
from small_batches import packed_batch
from small_models import small_bert

CPU = torch.device("cpu")
WEIGHTS = {"ce": 5.0, "mlm": 2.0, "cos": 1.0}


def curve(dtype: torch.dtype) -> torch.Tensor:
    """The three losses of each of some steps, in a training that is the same but for the precision."""
    teacher = small_bert(1).eval()
    student = student_from_teacher(teacher, 1, dropout=0.0)
    freeze_idle_biases(student)
    objective = Distillation(student, freeze_teacher(copy.deepcopy(teacher), CPU, dtype), 2.0, False)
    optimizer = torch.optim.AdamW([part for part in student.parameters() if part.requires_grad], lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=dtype == torch.float16)
    losses = []
    for step in range(20):
        batch = packed_batch(seed=step)
        counts = token_counts(batch)
        scales = {name: torch.tensor(weight / counts[name]) for name, weight in WEIGHTS.items()}
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            total, sums = objective(batch, scales)
        scaler.scale(total).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append([float(sums[name] / counts[name]) for name in WEIGHTS])
    assert scaler.get_scale() in (1.0, 2.0**10)  # no step was left out
    return torch.tensor(losses)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.002), (torch.bfloat16, 0.01)])
def test_a_training_in_half_precision_follows_that_in_single_precision(dtype, tolerance):
    precise = curve(torch.float32)
    assert (precise[-1] < 0.9 * precise[0]).any()
    torch.testing.assert_close(curve(dtype), precise, rtol=tolerance, atol=tolerance / 10)
