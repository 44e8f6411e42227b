"""The losses against the published formulas, written out plainly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bert_distillation.losses import (
    Distillation,
    MaskedLanguageModeling,
    hidden_state_loss,
    masked_lm_loss,
    soft_target_loss,
    token_counts,
)
from bert_distillation.masking import IGNORE_INDEX
from bert_distillation.student import student_from_teacher
from small_models import PIECES, small_bert

SIZES = st.tuples(st.integers(1, 7), st.integers(2, 40), st.integers(0, 10_000))


def rows(seed: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=100)
@given(SIZES, st.sampled_from([0.5, 1.0, 2.0, 8.0]))
def test_soft_targets_are_the_published_kl_times_the_squared_temperature(sizes, temperature):
    tokens, words, seed = sizes
    student, teacher = rows(seed, tokens, words), rows(seed + 1, tokens, words)
    expected = 0.0
    for row in range(tokens):
        p = [math.exp(x / temperature) for x in teacher[row].tolist()]
        q = [math.exp(x / temperature) for x in student[row].tolist()]
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        expected += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert float(soft_target_loss(student, teacher, temperature)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=100)
@given(SIZES)
def test_masked_lm_is_minus_the_log_probability_of_the_true_word(sizes):
    tokens, words, seed = sizes
    logits = rows(seed, tokens, words)
    labels = torch.randint(-1, words, (tokens,), generator=torch.Generator().manual_seed(seed))
    labels[labels < 0] = IGNORE_INDEX
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label != IGNORE_INDEX:
            expected -= math.log(math.exp(row[label]) / sum(math.exp(x) for x in row))
    assert float(masked_lm_loss(logits, labels)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=100)
@given(SIZES)
def test_hidden_states_are_compared_by_one_minus_the_cosine(sizes):
    tokens, width, seed = sizes
    student, teacher = rows(seed, tokens, width), rows(seed + 1, tokens, width)
    expected = sum(
        1 - sum(a * b for a, b in zip(s, t, strict=True)) / (math.hypot(*s) * math.hypot(*t))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    )
    assert float(hidden_state_loss(student, teacher)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def padded_batch(seed: int = 0) -> dict[str, torch.Tensor]:
    """Three sequences of 12, 9 and 5 real tokens; a sixth of the tokens has a label."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([12, 9, 5])
    real = torch.arange(12) < lengths[:, None]
    input_ids = torch.where(real, torch.randint(6, len(PIECES), (3, 12), generator=generator), 0)
    masked = real & (torch.rand(3, 12, generator=generator) < 0.3)
    return {
        "input_ids": torch.where(masked, 4, input_ids),
        "attention_mask": real.long(),
        "token_type_ids": ((torch.arange(12) > 4) & real).long(),
        "labels": torch.where(masked, input_ids, IGNORE_INDEX),
        "loss_mask": real,
    }


@pytest.mark.parametrize("restrict", [False, True])
def test_distillation_equals_the_textbook_step_over_the_real_tokens(restrict):
    """The plain computation: full outputs of both models, torch's own loss modules, batch means."""
    teacher = small_bert(1).eval()
    student = student_from_teacher(teacher, 2).eval()
    batch = padded_batch()
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    expected_teacher = teacher(**inputs, token_type_ids=batch["token_type_ids"], output_hidden_states=True)
    expected_student = student(**inputs, output_hidden_states=True)

    real = batch["attention_mask"].bool()
    on = batch["labels"] != IGNORE_INDEX if restrict else real
    kl = nn.KLDivLoss(reduction="batchmean")
    soft = torch.softmax(expected_teacher.logits[on] / 2, dim=-1)
    expected_ce = kl(torch.log_softmax(expected_student.logits[on] / 2, dim=-1), soft) * 4
    expected_mlm = nn.CrossEntropyLoss()(expected_student.logits.flatten(0, 1), batch["labels"].flatten())
    states = expected_student.hidden_states[-1][real], expected_teacher.hidden_states[-1][real]
    expected_cos = nn.CosineEmbeddingLoss()(*states, torch.ones(len(states[0])))

    counts = token_counts(batch, restrict)
    losses = Distillation(student, teacher, 2.0, restrict)(batch)
    for name, expected in {"ce": expected_ce, "mlm": expected_mlm, "cos": expected_cos}.items():
        torch.testing.assert_close(losses[name] / counts[name], expected, atol=1e-5, rtol=1e-5)


def test_the_teacher_is_neither_trained_nor_saved():
    teacher = small_bert()
    objective = Distillation(student_from_teacher(teacher, 1), teacher, 2.0, False)
    sum(objective(padded_batch()).values()).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(name.startswith("model.") for name in objective.state_dict())


def test_pretraining_has_the_cross_entropy_of_the_whole_model():
    model, batch = small_bert().eval(), padded_batch()
    expected = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=batch["token_type_ids"],
        labels=batch["labels"],
    ).loss
    total = MaskedLanguageModeling(model)(batch)["mlm"]
    torch.testing.assert_close(total / token_counts(batch)["mlm"], expected, atol=1e-5, rtol=1e-5)


def test_a_batch_without_a_masked_token_has_zero_loss_and_finite_gradients():
    model, batch = small_bert(), padded_batch()
    batch["labels"] = torch.full_like(batch["labels"], IGNORE_INDEX)
    loss = MaskedLanguageModeling(model)(batch)["mlm"]
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
