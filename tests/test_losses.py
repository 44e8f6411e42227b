"""The objectives against the textbook step: padded batches, whole outputs, torch's own loss modules."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textbook_step import WEIGHTS, textbook_losses
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertForMaskedLM, DistilBertForMaskedLM

import varlen_on_cpu
from bert_distillation import attention, losses, vocabulary
from bert_distillation.compiling import compile_layers
from bert_distillation.frozen import freeze_teacher
from bert_distillation.losses import Distillation, MaskedLanguageModeling, hidden_state_loss, token_counts
from bert_distillation.masked_lm import freeze_idle_biases, packed_hidden_states, shared_weights
from bert_distillation.student import student_from_teacher
from small_batches import packed_batch, padded
from small_models import small_bert


def scales(batch: dict[str, Tensor], restrict: bool = False, factor: float = 1.0) -> dict[str, Tensor]:
    counts = token_counts(batch, restrict)
    return {name: torch.tensor(factor * weight / counts[name]) for name, weight in WEIGHTS.items()}


def models(dropout: float = 0.0) -> tuple[DistilBertForMaskedLM, BertForMaskedLM]:
    teacher = small_bert(1).eval()
    return student_from_teacher(teacher, 2, dropout=dropout), teacher


@settings(max_examples=100)
@given(st.integers(1, 7), st.integers(2, 40), st.integers(0, 10_000))
def test_hidden_states_are_compared_by_one_minus_the_cosine(tokens, width, seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 3 * torch.randn(2, tokens, width, generator=generator, dtype=torch.float64)
    expected = sum(
        1 - sum(a * b for a, b in zip(s, t, strict=True)) / (math.hypot(*s) * math.hypot(*t))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    )
    assert float(hidden_state_loss(student, teacher)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    student.requires_grad_()
    assert torch.autograd.gradcheck(hidden_state_loss, (student, teacher), rtol=1e-5)


@pytest.mark.parametrize("rows", [((12, 3), (9, 5), (7,)), ((4, 4, 4, 4),), ((6,), (6,))])
def test_each_sequence_of_a_row_has_the_hidden_states_it_has_alone(rows):
    batch = packed_batch(rows=rows)
    one_a_row = padded(batch)
    for model in (student := models()[0].eval(), models()[1]):
        inputs = {name: one_a_row[name] for name in ("input_ids", "attention_mask")}
        types = {} if model is student else {"token_type_ids": one_a_row["token_type_ids"]}
        with torch.no_grad():
            alone = model.base_model(**inputs, **types).last_hidden_state
            packed = packed_hidden_states(model, batch)
        alone = alone[one_a_row["attention_mask"].bool()]
        order = batch["places"].argsort()
        torch.testing.assert_close(packed[order], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_by_matrix_products_is_torchs_own(scale):
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 3, 7, 4, generator=generator).unbind()
    sequences = torch.tensor([[1, 1, 1, 2, 2, 2, 0], [1, 2, 3, 3, 3, 0, 0]])
    mask = (sequences[:, None, :] == sequences[:, :, None])[:, None]
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    torch.testing.assert_close(attention.by_products(query, key, value, mask, 0.0, scale), expected)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("rows", [((12, 3), (9, 5), (7,)), ((4, 4, 4, 4), (16,))])
def test_a_kernel_for_sequences_of_any_length_gives_the_losses_and_the_gradient_of_a_mask(rows, dropout, monkeypatch):
    batch, (student, teacher) = packed_batch(rows=rows), models()
    expected = values_and_gradient(student, teacher, batch)
    assert not varlen_on_cpu.calls
    monkeypatch.setattr("bert_distillation.masked_lm.has_varlen_kernel", lambda *_: True)
    for layer in student.distilbert.transformer.layer:
        layer.attention.dropout.p = dropout  # which the kernel is told of, and the stand-in does not do
    found = values_and_gradient(student, teacher, batch)
    of_student = [("forward", dropout)] * 2
    assert varlen_on_cpu.calls == [*of_student, *[("forward", 0.0)] * 4, *[("backward", dropout)] * 2]  # a call a layer
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("capability", "dtype", "width", "has"),
    [
        ((8, 0), torch.bfloat16, 64, True),
        ((9, 0), torch.float16, 64, True),
        ((7, 0), torch.float16, 64, False),  # a V100
        ((9, 0), torch.float32, 64, False),
        ((9, 0), torch.bfloat16, 26, False),  # TinyBERT's 312 units in 12 heads
        ((9, 0), torch.bfloat16, 192, True),
        ((9, 0), torch.bfloat16, 200, False),
    ],
)
def test_the_kernel_for_sequences_serves_half_precision(capability, dtype, width, has, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert attention.has_varlen_kernel(torch.device("cuda"), dtype, width) is has
    assert not attention.has_varlen_kernel(torch.device("cpu"), dtype, width)


@pytest.fixture(autouse=True)
def no_calls():
    varlen_on_cpu.calls.clear()


def values_and_gradient(student: DistilBertForMaskedLM, teacher: BertForMaskedLM, batch: dict[str, Tensor]) -> list:
    student.zero_grad()
    total, _ = Distillation(student, teacher, 2.0, False)(batch, scales(batch))
    total.backward()
    return [total.detach(), *(parameter.grad for parameter in student.parameters() if parameter.requires_grad)]


def compiled_layers(model: BertForMaskedLM | DistilBertForMaskedLM) -> int:
    return sum(module._compiled_call_impl is not None for module in model.modules())


@pytest.mark.filterwarnings("default")  # torch warns of what it does itself
@pytest.mark.parametrize("has_kernel", [False, True])
def test_compiled_layers_give_the_losses_and_the_gradient(has_kernel, monkeypatch):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr("bert_distillation.masked_lm.has_varlen_kernel", lambda *_: has_kernel)
    student, teacher = pair = models()
    freeze_idle_biases(student)
    batches = [packed_batch(rows=rows) for rows in (((12, 3), (9, 5), (7,)), ((4, 4, 4, 4), (16,)), ((10, 3), (9,)))]
    expected = [values_and_gradient(*pair, batch) for batch in batches]
    for model in pair:
        compile_layers(model, torch.device("cpu"))
    assert not compiled_layers(student) + compiled_layers(teacher)
    with torch._dynamo.config.patch(suppress_errors=False, recompile_limit=8):  # and back again
        for model in pair:
            compile_layers(model, torch.device("cuda"))
        assert (compiled_layers(student), compiled_layers(teacher)) == (2, 4)
        torch._dynamo.config.suppress_errors = False
        for batch, values in zip(batches, expected, strict=True):
            torch.testing.assert_close(values_and_gradient(*pair, batch), values, atol=1e-5, rtol=1e-5)
    counters = torch._dynamo.utils.counters
    # Of both models and, where a mask is needed, of full rows and others; all layers share them.
    assert counters["frames"]["ok"] == (2 if has_kernel else 4)
    assert not counters["graph_break"]
    assert sorted(student.state_dict()) == sorted(models()[0].state_dict())


class NoSynchronization(TorchDispatchMode):
    """Refuses what a GPU must be waited for: values and shapes that depend on values."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "bincount")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if by_mask or name.startswith(self.WAITS):
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rows", [((12, 3), (9, 5), (7,)), ((4, 4, 4, 4), (16,))])
@pytest.mark.parametrize("restrict", [False, True])
@pytest.mark.parametrize("has_kernel", [False, True])
def test_the_step_never_waits_for_the_device(rows, restrict, has_kernel, monkeypatch):
    monkeypatch.setattr(losses, "shared_weights", lambda _: (None, None))  # what a CPU alone has
    monkeypatch.setattr("bert_distillation.masked_lm.has_varlen_kernel", lambda *_: has_kernel)
    batch, (student, teacher) = packed_batch(rows=rows), models(0.1)
    objective, weights = Distillation(student, teacher, 2.0, restrict), scales(batch, restrict)
    with NoSynchronization():
        total, _ = objective(batch, weights)
        total.backward()
        with pytest.raises(AssertionError, match="waits for the device"):
            float(total.detach())


@pytest.mark.parametrize("restrict", [False, True])
def test_distillation_has_the_losses_and_the_gradient_of_the_textbook_step(restrict):
    batch = packed_batch()
    (student, teacher), (plain, _) = models(), models()
    plain.load_state_dict(student.state_dict())
    expected = textbook_losses(plain, teacher, padded(batch), restrict)
    sum(WEIGHTS[name] * loss for name, loss in expected.items()).backward()

    total, sums = Distillation(student, teacher, 2.0, restrict)(batch, scales(batch, restrict))
    total.backward()
    counts = token_counts(batch, restrict)
    for name, loss in expected.items():
        torch.testing.assert_close(sums[name] / counts[name], loss.detach(), atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(student.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-5)


def test_pretraining_has_the_loss_and_the_gradient_of_the_whole_model():
    batch = packed_batch()
    model, plain = small_bert().eval(), small_bert().eval()
    expected = plain(**padded(batch)).loss
    expected.backward()
    total, sums = MaskedLanguageModeling(model)(batch, {"mlm": torch.tensor(1 / len(batch["labels"]))})
    total.backward()
    torch.testing.assert_close(sums["mlm"] / len(batch["labels"]), expected.detach(), atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-5)


def test_words_and_vocabulary_layer_have_one_gradient_in_the_matrix_of_the_latter():
    model, ids, made = small_bert(), torch.tensor([5, 9, 5]), []
    words, weight = shared_weights(model)
    weight.register_hook(lambda gradient: made.append(gradient.data_ptr()))
    looked_up = torch.nn.functional.embedding(ids, words, sparse=True)
    ((weight * weight).sum() + looked_up.sum()).backward()
    parameter = model.get_input_embeddings().weight
    expected = 2 * parameter.detach() + torch.bincount(ids, minlength=len(parameter))[:, None]
    torch.testing.assert_close(parameter.grad, expected)
    assert made == [parameter.grad.data_ptr()]


def test_without_that_layer_the_gradient_of_the_words_is_added_in_place_as_well(monkeypatch):
    """On a GPU, where autograd adds it: what is added to must be nobody's view."""
    monkeypatch.setattr(losses, "shared_weights", lambda _: (None, None))
    made, (student, teacher) = [], models()
    find = vocabulary._losses_and_gradients

    def noted(*arguments):
        sums, gradients = find(*arguments)
        made.append(gradients[1].data_ptr())
        return sums, gradients

    monkeypatch.setattr(vocabulary, "_losses_and_gradients", noted)
    monkeypatch.setitem(vocabulary.WORDS_OF_A_VECTOR, ("cpu", 4), 8)
    values_and_gradient(student, teacher, packed_batch())
    assert made == [student.get_input_embeddings().weight.grad.data_ptr()]


def test_the_teacher_is_neither_trained_nor_saved():
    student, teacher = models()
    objective, batch = Distillation(student, teacher, 2.0, False), packed_batch()
    objective(batch, scales(batch))[0].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(name.startswith("model.") for name in objective.state_dict())


@pytest.mark.parametrize("rows", [((),), ((4,), ())])
def test_a_batch_without_a_masked_token_or_without_any_has_finite_gradients_for_every_parameter(rows):
    batch = packed_batch(rows=rows, share=0.0)
    for objective in (Distillation(*models(dropout=0.1), 2.0, False), MaskedLanguageModeling(small_bert())):
        total, sums = objective(batch, {name: torch.ones(()) for name in WEIGHTS})
        total.backward()
        assert sums["mlm"] == 0
        named = [(name, p) for name, p in objective.named_parameters() if "pooler" not in name]
        assert [name for name, parameter in named if parameter.grad is None] == []
        assert all(torch.isfinite(parameter.grad).all() for _, parameter in named)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_comes_near_and_a_scaler_finds_its_gradient(dtype):
    """With the scale of a gradient scaler the gradient is that of single precision, times the scale."""
    batch = packed_batch(seed=3)
    (student, teacher), (plain, _) = models(), models()
    plain.load_state_dict(student.state_dict())
    exact, _ = Distillation(plain, teacher, 2.0, False)(batch, scales(batch))
    exact.backward()
    half = freeze_teacher(small_bert(1), torch.device("cpu"), dtype)  # with words that are none, as a training has it
    assert half.cls.predictions.decoder.weight.shape[0] > half.config.vocab_size
    with torch.autocast("cpu", dtype):
        total, _ = Distillation(student, half, 2.0, False)(batch, scales(batch))
    (1024 * total).backward()
    torch.testing.assert_close(total, exact, rtol=0.03, atol=0)
    for ours, theirs in zip(student.parameters(), plain.parameters(), strict=True):
        assert ours.grad.dtype == torch.float32
        # A key's bias moves all scores of a query alike, so its gradient is 0 but for rounding.
        if theirs.grad.norm() > 1e-4:
            assert torch.nn.functional.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0) > 0.98
            assert float(ours.grad.norm() / theirs.grad.norm()) == pytest.approx(1024, rel=0.1)
