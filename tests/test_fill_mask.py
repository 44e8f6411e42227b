import pytest
import torch
from transformers import pipeline

from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask, batches_by_length
from bert_distillation.student import student_from_teacher
from small_models import save, small_bert

TEXTS = [
    "paris is the [MASK] of france.",
    "[MASK]",
    "today is a [MASK] day !",
    "the old man and the [MASK] and the cat and the dog and the bird swims in the lake by the house .",
]


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def folder(request, tokenizer, tmp_path_factory):
    model = small_bert()
    if request.param == "distilbert":
        model = student_from_teacher(model, 2)
    return save(model, tokenizer, tmp_path_factory.mktemp(request.param))


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
    assert list(batches_by_length([500], tokens_per_batch=120)) == [[0]]
