"""The chunked vocabulary layer against the published formulas, torch's gradients and Liger's kernel."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bert_distillation import row_kernels, vocabulary
from bert_distillation.row_kernels import soft_targets, true_words
from bert_distillation.vocabulary import Projection, vocabulary_losses

ONE = torch.tensor(1.0, dtype=torch.float64)
SIZES = st.tuples(st.integers(1, 7), st.integers(2, 40), st.integers(0, 10_000))
TEMPERATURES = (0.5, 1.0, 2.0, 8.0)


def rows(seed: int, *shape: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(
    tokens: int, words: int, width: int = 6, teacher_width: int = 9, dtype: torch.dtype = torch.float64
) -> tuple[Projection, Projection]:
    """A student's layer, whose parts want gradients, and a teacher's."""
    parts = (tokens, width), (words, width), (words,), (tokens, teacher_width), (words, teacher_width), (words,)
    made = [rows(seed, *shape).div(3).to(dtype) for seed, shape in enumerate(parts)]
    return Projection(*(part.requires_grad_() for part in made[:3])), Projection(*made[3:])


def plain(student: Projection, labels: Tensor, scales: dict, teacher: Projection | None, temperature: float) -> Tensor:
    """The same sum with all logits at once, for torch to differentiate."""
    logits = student.hidden_states @ student.weight.T + student.bias
    total = scales["mlm"] * F.cross_entropy(logits[: len(labels)], labels, reduction="sum")
    if teacher is None:
        return total
    expected = teacher.hidden_states @ teacher.weight.T + teacher.bias
    student_log_probs = F.log_softmax(logits / temperature, dim=-1)
    targets = F.log_softmax(expected / temperature, dim=-1)
    kl = F.kl_div(student_log_probs, targets, reduction="sum", log_target=True)
    return total + scales["ce"] * kl * temperature**2


@settings(max_examples=100)
@given(SIZES, st.sampled_from(TEMPERATURES))
def test_soft_targets_are_the_published_kl_times_the_squared_temperature(sizes, temperature):
    tokens, words, seed = sizes
    student, teacher = rows(seed, tokens, words), rows(seed + 1, tokens, words)
    none = torch.zeros(words, dtype=torch.float64)
    losses = soft_targets(student - 1, none + 1, teacher, none, temperature, ONE)
    for row in range(tokens):
        p = [math.exp(x / temperature) for x in teacher[row].tolist()]
        q = [math.exp(x / temperature) for x in student[row].tolist()]
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        expected = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert float(losses[row]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=100)
@given(SIZES, st.sampled_from(TEMPERATURES))
def test_the_kernels_for_gpus_and_for_cpus_agree(sizes, temperature):
    tokens, words, seed = sizes
    others = rows(seed + 1, words), rows(seed + 2, tokens, words), rows(seed + 3, words)
    of_gpus, of_cpus = rows(seed, tokens, words), rows(seed, tokens, words)
    losses_of_gpus = row_kernels._soft_targets(of_gpus, *others, 1 / temperature, ONE / 3)
    losses_of_cpus = soft_targets(of_cpus, *others, temperature, ONE / 3)
    torch.testing.assert_close((losses_of_gpus, of_gpus), (losses_of_cpus, of_cpus), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_of_hidden_states_is_the_same_compiled(dtype):
    for tokens in (1, 2, 9):  # sizes of 0 and 1 are compiled apart
        states, targets = rows(0, tokens, 48).to(dtype), rows(1, tokens, 48).to(dtype)
        losses, gradient = row_kernels._compiled(row_kernels._cosine_distances)(states, targets)
        expected = row_kernels.cosine_distances(states, targets)
        assert (losses.dtype, gradient.dtype) == (torch.float32, dtype)
        torch.testing.assert_close((losses, gradient), expected)


@settings(max_examples=100)
@given(SIZES)
def test_the_loss_of_a_true_word_is_minus_its_log_probability(sizes):
    tokens, words, seed = sizes
    logits = rows(seed, tokens, words)
    labels = torch.randint(words, (tokens,), generator=torch.Generator().manual_seed(seed))
    losses, _ = true_words(logits - 1, torch.ones(words, dtype=torch.float64), labels, ONE)
    for row, label, loss in zip(logits.tolist(), labels.tolist(), losses.tolist(), strict=True):
        assert loss == pytest.approx(-math.log(math.exp(row[label]) / sum(map(math.exp, row))), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**30])
@pytest.mark.parametrize("masked", [0, 1, 4, 11])
@pytest.mark.parametrize("with_teacher", [True, False])
@pytest.mark.parametrize("words_of_a_vector", [1, 8])
def test_loss_and_gradient_are_torchs_own_however_the_tokens_are_cut(
    chunk_bytes, masked, with_teacher, words_of_a_vector, monkeypatch
):
    monkeypatch.setitem(vocabulary.CHUNK_BYTES, "cpu", chunk_bytes)
    monkeypatch.setitem(vocabulary.WORDS_OF_A_VECTOR, ("cpu", 8), words_of_a_vector)
    student, teacher = layers(11, 23)
    labels = torch.randint(23, (masked,), generator=torch.Generator().manual_seed(1))
    scales = {"mlm": torch.tensor(0.3, dtype=torch.float64)}
    if with_teacher:
        scales["ce"] = torch.tensor(0.7, dtype=torch.float64)
    for temperature in TEMPERATURES:
        arguments = student, labels, scales, teacher if with_teacher else None, temperature
        total, sums = vocabulary_losses(*arguments)
        expected = plain(*arguments)
        torch.testing.assert_close(total, expected, check_dtype=False, rtol=1e-6, atol=1e-9)
        combined = sum(scales[name] * value for name, value in sums.items())
        torch.testing.assert_close(combined, expected.detach(), check_dtype=False, rtol=1e-6, atol=1e-9)
        leaves = (student.hidden_states, student.weight, student.bias)
        ours = torch.autograd.grad(3 * total, leaves)
        theirs = torch.autograd.grad(3 * expected, leaves)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_layer_is_aligned_with_words_that_do_not_count(monkeypatch):
    layer, _ = layers(2, 23)
    monkeypatch.setitem(vocabulary.WORDS_OF_A_VECTOR, ("cpu", 8), 8)
    assert layer.aligned().products().shape == (2, 24)
    assert not layer.aligned().weight[23:].any()
    assert layer.aligned().aligned().weight.shape == (24, 6)


def test_an_aligned_layer_in_fp16_gives_words_that_are_none_no_infinite_bias(monkeypatch):
    monkeypatch.setitem(vocabulary.WORDS_OF_A_VECTOR, ("cpu", 2), 8)
    layer, _ = layers(2, 23, dtype=torch.float32)
    aligned = layer.aligned(torch.float16)
    assert torch.equal(aligned.aligned().bias, aligned.bias)
    assert torch.isfinite(aligned.bias).all()
    assert aligned.logits().shape == (2, 24)


def test_an_aligned_layer_in_half_precision_is_rounded_once_and_keeps_its_bias():
    layer, _ = layers(2, 23, dtype=torch.float32)
    aligned = layer.aligned(torch.bfloat16)
    assert aligned.weight.shape == (32, 6)
    assert torch.equal(aligned.weight[:23], layer.weight.bfloat16())
    assert torch.equal(aligned.bias[:23], layer.bias)
    assert aligned.hidden_states.dtype == torch.bfloat16


def test_the_gradient_is_that_of_finite_differences():
    student, teacher = layers(5, 13)
    labels, scales = torch.tensor([3, 12]), {"mlm": ONE * 0.4, "ce": ONE * 1.3}

    def total(*parts: Tensor) -> Tensor:
        return vocabulary_losses(Projection(*parts), labels, scales, teacher, 2.0)[0]

    assert torch.autograd.gradcheck(total, (student.hidden_states, student.weight, student.bias))


def test_a_loss_that_has_no_weight_has_no_gradient():
    student, teacher = layers(5, 13)
    labels = torch.tensor([3, 12])
    for scales in ({"mlm": ONE, "ce": 0 * ONE}, {"mlm": 0 * ONE, "ce": ONE}, {"mlm": 0 * ONE, "ce": 0 * ONE}):
        total, _ = vocabulary_losses(student, labels, scales, teacher, 2.0)
        leaves = (student.hidden_states, student.weight)
        expected = torch.autograd.grad(plain(student, labels, scales, teacher, 2.0), leaves)
        for one, other in zip(torch.autograd.grad(total, leaves), expected, strict=True):
            torch.testing.assert_close(one, other)


def test_half_precision_does_not_underflow_at_a_step_of_32_thousand_rows():
    """Multiplied with 1/32768 at once, most of a gradient in fp16 would be 0; here the scaler's factor comes first."""
    student, teacher = layers(64, 200, 16, 16, torch.float32)
    scale = torch.tensor(1 / 32_768)
    exact = plain(student, torch.arange(9), {"mlm": scale, "ce": scale}, teacher, 2.0)
    expected = torch.autograd.grad(exact * 65_536, student.hidden_states)[0]
    half = Projection(*(part.detach().half() for part in (teacher.hidden_states, teacher.weight, teacher.bias)))
    with torch.autocast("cpu", torch.float16):
        hidden_states = student.hidden_states.half()
        inputs = Projection(hidden_states, student.weight, student.bias)
        total, _ = vocabulary_losses(inputs, torch.arange(9), {"mlm": scale, "ce": scale}, half, 2.0)
    of_hidden, of_weight = torch.autograd.grad(total * 65_536, (hidden_states, student.weight))
    assert of_weight.dtype == torch.float32
    error = (of_hidden.float() - expected).norm() / expected.norm()
    assert error < 0.01
    assert ((of_hidden == 0) & (expected.abs() > 1e-3)).sum() == 0


def test_half_precision_does_not_overflow_where_many_tokens_want_the_same_word():
    """The sum over them is past 65,504 in fp16, whatever the scaler's factor is."""
    tokens, words = 16_384, 40
    hidden_states = torch.full((tokens, 16), 8.0, dtype=torch.float16)
    weight, bias = torch.zeros(words, 16, requires_grad=True), torch.zeros(words, requires_grad=True)
    labels = torch.full((tokens,), 3)
    with torch.autocast("cpu", torch.float16):
        total, _ = vocabulary_losses(Projection(hidden_states, weight, bias), labels, {"mlm": ONE.float()}, None, 1.0)
    of_weight, of_bias = torch.autograd.grad(total, (weight, bias))
    assert of_weight[3].tolist() == pytest.approx([-(1 - 1 / words) * 8 * tokens] * 16, rel=1e-2)
    assert of_bias[3].item() == pytest.approx(-(1 - 1 / words) * tokens, rel=1e-2)


@pytest.mark.parametrize("words_of_a_vector", [1, 8])
def test_the_kernels_that_are_compiled_for_a_wide_vocabulary_give_the_same(words_of_a_vector, monkeypatch):
    monkeypatch.setitem(vocabulary.WORDS_OF_A_VECTOR, ("cpu", 4), words_of_a_vector)
    student, teacher = layers(6, 41, dtype=torch.float32)
    labels, scales = torch.tensor([], dtype=torch.int64), {"mlm": torch.tensor(0.4), "ce": torch.tensor(1.3)}
    expected, _ = vocabulary_losses(student, labels, scales, teacher, 2.0)
    gradients = torch.autograd.grad(expected, student.weight)
    monkeypatch.setattr(row_kernels, "WIDE", 40)
    total, _ = vocabulary_losses(student, labels, scales, teacher, 2.0)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(torch.autograd.grad(total, student.weight), gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch._dynamo.exc.BackendCompilerFailed(compile, RuntimeError("no C++ compiler"), None), "no C++ compiler"),
        (torch._dynamo.exc.BackendCompilerFailed(compile, AssertionError(), None), "AssertionError()"),
        (torch._inductor.exc.TritonMissing(None), "Cannot find a working triton installation"),
    ],
)
def test_without_a_compiler_the_kernels_run_as_they_are(error, reason, monkeypatch, capsys):
    tried = []

    def no_compiler(*_: object, **__: object):
        def fail(*_: object) -> None:
            tried.append(1)
            raise error

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr(row_kernels, "WIDE", 10)
    row_kernels._compiled.cache_clear()
    row_kernels._warn_once.cache_clear()
    try:
        student, teacher = layers(6, 40, dtype=torch.float32)
        scales = {"mlm": torch.tensor(0.4), "ce": torch.tensor(1.3)}
        total, _ = vocabulary_losses(student, torch.tensor([3]), scales, teacher, 2.0)
        torch.testing.assert_close(total, plain(student, torch.tensor([3]), scales, teacher, 2.0))
        vocabulary_losses(student, torch.tensor([3]), scales, teacher, 2.0)
        assert len(tried) == 4, "once for each kernel"
        said = capsys.readouterr().out
        assert "without compiled kernels, which takes longer: " in said
        assert reason in said
    finally:
        row_kernels._compiled.cache_clear()


def test_on_masked_tokens_alone_loss_and_gradient_are_those_of_ligers_kernel():
    liger = pytest.importorskip("liger_kernel.chunked_loss", reason="needs liger-kernel, which `make install` installs")
    student, teacher = layers(9, 40, dtype=torch.float32)
    labels, temperature = torch.randint(40, (9,), generator=torch.Generator().manual_seed(1)), 2.0
    weights = {"weight_hard_loss": 0.4, "weight_soft_loss": 1.3}
    oracle = liger.LigerFusedLinearJSDLoss(**weights, beta=0.0, temperature=temperature, compiled=False, chunk_size=4)
    # Liger divides by the tokens, and leaves out the T^2 that keeps the weights comparable when T changes.
    scales = {"mlm": torch.tensor(0.4 / 9), "ce": torch.tensor(1.3 / 9 / temperature**2)}
    parts = (student.hidden_states, student.weight, student.bias)
    ours, _ = vocabulary_losses(student, labels, scales, teacher, temperature)
    theirs = oracle(
        student.hidden_states,
        student.weight,
        teacher.hidden_states,
        teacher.weight,
        labels,
        student_bias=student.bias,
        teacher_bias=teacher.bias,
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(ours, parts), torch.autograd.grad(theirs, parts)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
