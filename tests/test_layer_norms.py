"""Layer norms that give what they are given, tried out under a CPU's autocast."""

import pytest
import torch
from torch import nn

from bert_distillation.layer_norms import keep_half_precision
from bert_distillation.student import student_from_teacher
from small_models import small_bert

GPU = torch.device("cuda")


def test_results_have_the_type_of_what_is_given_and_gradients_that_of_the_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LayerNorm(16, eps=1e-12))
    nn.init.normal_(model[0].weight)
    nn.init.normal_(model[0].bias)
    states, towards = torch.randn(2, 5, 16)
    model(states).backward(towards)
    expected = [model(states).detach(), model[0].weight.grad, model[0].bias.grad]
    model.zero_grad()
    keep_half_precision(model, GPU, "bf16")
    with torch.autocast("cpu", torch.bfloat16):
        found = model(states.bfloat16())
    assert found.dtype == torch.bfloat16
    found.backward(towards.bfloat16())
    assert model[0].weight.grad.dtype == torch.float32
    for half, single in zip([found.detach(), model[0].weight.grad, model[0].bias.grad], expected, strict=True):
        torch.testing.assert_close(half.float(), single, atol=0.05, rtol=0.05)
    assert torch.equal(model(states), expected[0])  # in single precision nothing changes


def test_weights_stay_the_same_parameters_under_the_same_names():
    student = student_from_teacher(small_bert(), 2)
    before = dict(student.named_parameters())
    keep_half_precision(student, GPU, "bf16")
    after = dict(student.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
    assert not [module for module in student.modules() if type(module) is nn.LayerNorm]


@pytest.mark.parametrize(("device", "precision"), [("cpu", "bf16"), ("cuda", "fp16"), ("cuda", "no")])
def test_elsewhere_autocast_decides(device, precision):
    student = student_from_teacher(small_bert(), 2)
    keep_half_precision(student, torch.device(device), precision)
    assert [module for module in student.modules() if type(module) is nn.LayerNorm]
