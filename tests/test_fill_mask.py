import re
import shutil
import sys

import numpy as np
import pytest
import torch
from transformers import pipeline

from bert_distillation.errors import InputError
from bert_distillation.fill_mask import LEFT_TO_RIGHT, FillMask, batches_by_length, likeliest
from bert_distillation.onnx_graph import write_graph
from bert_distillation.student import student_from_teacher
from small_models import PIECES, move_word, save, small_bert

TEXTS = [
    "paris is the [MASK] of france.",
    "[MASK]",
    "today is a [MASK] day !",
    "the old man and the [MASK] and the cat and the dog and the bird swims in the lake by the house .",
]


@pytest.fixture(scope="module", params=["bert by torch", "distilbert by torch", "bert by onnx", "distilbert by onnx"])
def folder(request, tokenizer, tmp_path_factory):
    architecture, _, runner = request.param.split()
    model = small_bert()
    if architecture == "distilbert":
        model = student_from_teacher(model, 2)
    made = save(model, tokenizer, tmp_path_factory.mktemp(architecture))
    if runner == "onnx":
        write_graph(made, "model.onnx")
    assert type(FillMask.load(made).runner).__name__.lower().startswith(runner)
    return made


def test_words_and_scores_are_those_of_the_hugging_face_pipeline(folder):
    reference = pipeline("fill-mask", model=str(folder), device="cpu")
    for text, candidates in zip(TEXTS, FillMask.load(folder).predict(TEXTS, top_k=3), strict=True):
        expected = reference(text, top_k=3)
        assert [c.token for c in candidates] == [
            reference.tokenizer.convert_ids_to_tokens(answer["token"]) for answer in expected
        ]
        assert [c.score for c in candidates] == pytest.approx([answer["score"] for answer in expected], rel=1e-4)


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(folder):
    predictor = FillMask.load(folder)
    together = predictor.predict(TEXTS)
    assert [c[0].token for c in together] == [predictor.predict([text])[0][0].token for text in TEXTS]


def test_each_mask_of_a_text_has_its_candidates(folder):
    masks = FillMask.load(folder).predict_masks(["the [MASK] of [MASK] .", "a [MASK]"], top_k=2)
    assert [len(text) for text in masks] == [2, 1]
    assert all(len(candidates) == 2 for text in masks for candidates in text)


def test_of_too_long_a_text_the_window_round_the_mask_is_kept(folder):
    predictor = FillMask.load(folder)
    around = "cat " * 31 + "[MASK]" + " dog" * 40
    expected = predictor.predict([around])[0][0]
    actual = predictor.predict(["bird " * 500 + around + " fish" * 500])[0][0]
    assert (actual.token, actual.score) == (expected.token, pytest.approx(expected.score, rel=1e-4))


def test_a_text_without_a_mask_is_named(folder):
    with pytest.raises(InputError, match=r"Text 1 has no \[MASK\]: 'no mask'"):
        FillMask.load(folder).predict(["a [MASK]", "no mask"])


def test_batches_hold_like_lengths_within_the_budget_and_every_index_once():
    lengths = torch.randint(1, 50, (100,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = list(batches_by_length(lengths, tokens_per_batch=120))
    assert sorted(index for batch in batches for index in batch) == list(range(100))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 120 for batch in batches)
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert all(
        most <= max(32, 2 * min(lengths[i] for i in batch)) for most, batch in zip(longest, batches, strict=True)
    )
    assert list(batches_by_length([500], tokens_per_batch=120)) == [[0]]


def test_masks_of_one_text_are_filled_together_or_from_left_to_right(folder):
    predictor, text = FillMask.load(folder), "the [MASK] of [MASK] [MASK] ."
    together = [masks[0].token for masks in predictor.predict_masks([text])[0]]
    alone = predictor.predict([text])[0][0].token
    assert together[0] == alone
    stepwise = []
    for _ in range(3):
        stepwise.append(predictor.predict([text])[0][0].token)
        text = text.replace("[MASK]", stepwise[-1].removeprefix("##"), 1)
    ordered = predictor.predict_masks(["the [MASK] of [MASK] [MASK] .", "a [MASK]"], order=LEFT_TO_RIGHT)
    assert [len(masks) for masks in ordered] == [3, 1]
    assert ordered[0][0][0].token == stepwise[0]
    if not any(word.startswith("##") for word in stepwise):
        assert [masks[0].token for masks in ordered[0]] == stepwise


def test_targets_are_the_only_candidates_and_keep_their_probability(folder):
    predictor = FillMask.load(folder)
    [[everything]] = predictor.predict_masks(TEXTS[:1], top_k=1000)
    scores = {candidate.token: candidate.score for candidate in everything}
    [[two]] = predictor.predict_masks(TEXTS[:1], top_k=5, targets=["rome", "Paris"])
    assert {candidate.token for candidate in two} == {"rome", "paris"}
    assert [c.score for c in two] == pytest.approx(sorted((scores["rome"], scores["paris"]), reverse=True))
    with pytest.raises(InputError, match="The target 'swimming' is not one word of the vocabulary"):
        predictor.predict_masks(TEXTS[:1], targets=["rome", "swimming"])


def test_a_target_counts_once_and_a_mask_is_none(folder):
    predictor = FillMask.load(folder)
    [[one]] = predictor.predict_masks(TEXTS[:1], top_k=2, targets=["Paris", "paris"])
    assert [candidate.token for candidate in one] == ["paris"]
    for word in ("[MASK]", "\ud800"):
        with pytest.raises(InputError, match=r"The target .* is not one word of the vocabulary"):
            predictor.predict_masks(TEXTS[:1], targets=[word], order=LEFT_TO_RIGHT)


def test_a_model_that_fills_a_mask_with_a_mask_comes_to_an_end(folder, monkeypatch):
    predictor = FillMask.load(folder)
    only_masks = np.zeros(predictor.runner.vocab_size, np.float32)
    only_masks[predictor.word_pieces.mask_token_id] = 9

    def logits(texts: list[list[int]], mask_token_id: int) -> np.ndarray:
        return np.stack([only_masks for text in texts for token in text if token == mask_token_id])

    monkeypatch.setattr(predictor.runner, "logits", logits)
    [masks] = predictor.predict_masks(["a [MASK] [MASK]"], order=LEFT_TO_RIGHT)
    assert [candidates[0].token for candidates in masks] == ["[MASK]", "[MASK]"]


def test_masks_too_far_apart_for_the_model_are_named(folder):
    with pytest.raises(InputError, match=r"Text 0 has masks 101 tokens apart, and the model reads 62 at a time"):
        FillMask.load(folder).predict(["[MASK] " + "cat " * 100 + "[MASK]"])


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("between", [59, 60])
def test_masks_at_both_ends_of_what_the_model_reads_at_once_are_all_answered(folder, before, between):
    [masks] = FillMask.load(folder).predict_masks(["cat " * before + "[MASK] " + "dog " * between + "[MASK] cat"])
    assert len(masks) == 2


def test_no_text_has_no_answer(folder):
    assert FillMask.load(folder).predict_masks([]) == []


def test_a_graph_of_8_bits_comes_near_and_does_not_mix_up_batch_mates(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    write_graph(tmp_path / "model", "model-int8.onnx", eight_bits=True)
    exact, near = FillMask.load(folder), FillMask.load(tmp_path / "model", "int8")
    ids = exact.encode(TEXTS)
    ours, theirs = (predictor.runner.logits(ids, exact.word_pieces.mask_token_id) for predictor in (near, exact))
    assert 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max()
    alone = np.concatenate([near.runner.logits([row], exact.word_pieces.mask_token_id) for row in ids])
    assert np.abs(alone - ours).max() < 1e-4


def test_a_precision_that_the_folder_does_not_hold_is_refused(folder):
    with pytest.raises(InputError, match=r"holds no model-int8\.onnx; run `export` with --int8"):
        FillMask.load(folder, "int8")
    with pytest.raises(
        InputError, match="int8 is for CPUs, and the device is cuda; give fp16 or bf16, or the device cpu"
    ):
        FillMask.load(folder, "int8", "cuda")
    with pytest.raises(InputError, match="precision must be one of fp32, bf16, fp16, int8, got int4"):
        FillMask.load(folder, "int4")
    assert FillMask.load(folder, "bf16").predict(TEXTS)


def test_a_word_whose_id_the_model_lacks_is_refused_however_few_words_there_are(folder, tmp_path):
    made = move_word(shutil.copytree(folder, tmp_path / "model"), "paris", 531)
    size = len(PIECES)
    with pytest.raises(
        InputError, match=rf"The tokenizer has {size} words, one of them with the id 531, and the model {size};"
    ):
        FillMask.load(made)


def test_a_gap_in_the_ids_is_no_fault_where_the_model_has_them_all(tokenizer, tmp_path):
    made = move_word(save(small_bert(vocab_size=600), tokenizer, tmp_path), "paris", 531)
    assert FillMask.load(made).predict(["paris is the [MASK] of france."])


def test_the_likeliest_words_are_in_order_with_their_probability_among_all():
    logits = np.log(np.array([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.15, 0.05]], np.float32))
    ids, scores = likeliest(logits, 3)
    assert ids.tolist() == [[1, 3, 2], [0, 2, 1]]
    assert scores[0].tolist() == pytest.approx([0.4, 0.3, 0.2])
    ids, scores = likeliest(logits, 1, np.array([0, 3]))
    assert ids.tolist() == [[3], [0]]
    assert scores[:, 0].tolist() == pytest.approx([0.3, 0.7])


def test_without_a_graph_and_without_torch_the_way_out_is_named(tokenizer, tmp_path, monkeypatch):
    folder = save(small_bert(), tokenizer, tmp_path / "model")
    monkeypatch.setitem(sys.modules, "bert_distillation.torch_runner", None)
    with pytest.raises(InputError, match=r"holds no model\.onnx and .* is not installed; deploy a model written by"):
        FillMask.load(folder)


@pytest.mark.parametrize(("precision", "device"), [("bf16", "cpu"), ("fp16", "cpu"), ("fp32", "cuda")])
def test_what_needs_torch_says_so_without_it_also_where_there_is_a_graph(
    precision, device, tokenizer, tmp_path, monkeypatch
):
    folder = save(small_bert(), tokenizer, tmp_path / "model")
    write_graph(folder, "model.onnx")
    monkeypatch.setitem(sys.modules, "bert_distillation.torch_runner", None)
    with pytest.raises(
        InputError,
        match=rf"^{precision} on {device} needs torch and transformers, and .*/inference-gpu, or fp32 on cpu",
    ):
        FillMask.load(folder, precision, device)


@pytest.mark.parametrize("device", ["gpu", "CUDA", "0", "", "auto", "cuda:", "cuda:-1", "cuda:01", "cpu\n"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_device_that_torch_does_not_know_is_refused(folder, device, precision):
    with pytest.raises(InputError, match=rf"device must be cpu, cuda or, .* cuda:N, got {re.escape(repr(device))}\."):
        FillMask.load(folder, precision, device)


@pytest.mark.parametrize(
    ("count", "device", "message"),
    [
        (0, "cuda", "The device is cuda, but this machine has none that torch can use; take cpu"),
        (0, "cuda:0", "The device is cuda:0, but this machine has none that torch can use; take cpu"),
        (2, "cuda:2", "The device is cuda:2, but the last of this machine's GPUs is cuda:1; take that"),
    ],
)
def test_a_gpu_that_the_machine_has_not_is_refused(folder, count, device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InputError, match=message):
        FillMask.load(folder, device=device)
