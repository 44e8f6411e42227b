"""The arithmetic of `flops` beside what torch counts on real models."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, DistilBertConfig, DistilBertForMaskedLM

from bert_distillation.flops import body_flops, distillation_flops, vocabulary_flops
from bert_distillation.student import narrow_student, student_config, student_from_teacher, width_projection
from small_models import small_bert

B, L = 3, 16
IDS = torch.randint(5, 60, (B, L), generator=torch.Generator().manual_seed(0))


def counted(run) -> float:
    """FLOP for each token of what `run` does; attention as plain products, because fused kernels are not counted."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / (B * L)


@pytest.mark.parametrize("sizes", [{}, {"num_hidden_layers": 1}, {"hidden_size": 48, "intermediate_size": 80}])
def test_a_forward_pass_is_the_body_and_the_vocabulary_layer_exactly(sizes):
    teacher = small_bert(attn_implementation="eager", **sizes).eval()
    with torch.no_grad():
        assert counted(lambda: teacher.bert(IDS)) == body_flops(teacher.config, L)
        both = body_flops(teacher.config, L) + vocabulary_flops(teacher.config)
        assert counted(lambda: teacher(IDS)) == both


def eager(student: DistilBertForMaskedLM) -> DistilBertForMaskedLM:
    student.set_attn_implementation("eager")
    return student


@pytest.mark.parametrize("width", [32, 16])
def test_a_step_of_distillation_is_what_torch_counts_exactly(width):
    teacher = small_bert(attn_implementation="eager").eval()
    narrow = narrow_student(teacher.config, 2, 16)
    student = eager(student_from_teacher(teacher, 2) if width == 32 else narrow)
    projection = width_projection(student.config, teacher.config)

    def step():
        with torch.no_grad():
            teacher(IDS)
        hidden_states = student.distilbert(IDS).last_hidden_state
        transformed = student.vocab_layer_norm(student.activation(student.vocab_transform(hidden_states)))
        loss = student.vocab_projector(transformed).sum()
        (loss if projection is None else loss + projection(hidden_states).sum()).backward()

    assert counted(step) == distillation_flops(teacher.config, student.config, L).total


@pytest.mark.parametrize(("row_length", "total"), [(128, 629), (512, 664)])
def test_bert_base_into_distilbert_by_the_figures_that_plans_are_made_with(row_length, total):
    teacher = BertConfig()
    flops = distillation_flops(teacher, student_config(teacher, 6, 0.1), row_length)
    assert flops.total / 1e6 == pytest.approx(total, abs=0.5)
    assert flops.vocabulary_layers / 1e6 == pytest.approx(192, abs=0.5)
    if row_length == 128:
        assert (flops.teacher_body / 1e6, flops.student_body / 1e6) == pytest.approx((175, 262), abs=0.5)


def test_soft_targets_on_the_masked_tokens_alone_save_most_of_the_vocabulary_layers():
    every = distillation_flops(BertConfig(), DistilBertConfig(), 128)
    masked = distillation_flops(BertConfig(), DistilBertConfig(), 128, vocabulary_share=0.15)
    assert masked.vocabulary_layers == pytest.approx(0.15 * every.vocabulary_layers)
    assert masked.student_body == every.student_body
