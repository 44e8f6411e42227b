import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation.batches import MaskedSequences
from bert_distillation.bootstrap import ratio_of_sums, with_interval
from bert_distillation.errors import InputError
from bert_distillation.evaluate import EvaluateConfig
from bert_distillation.fill_mask import FillMask
from bert_distillation.sampling import draw
from bert_distillation.sequences import open_sequences
from bert_distillation.student import student_from_teacher
from bert_distillation.subject import mlflow_parts
from small_evaluation import opinionated_model, run, write_rows
from small_models import save, small_bert, small_sequences, small_tokenizer

TEXTS = [
    ("the cat sleeps in the old house .", "it was a rainy day today ."),
    ("paris is the capital of france .", "rome is the capital of italy ."),
    ("she swims in the lake by the small tree .", "he eats a fish ."),
    ("we run to the river .", "they read a large book in the city ."),
] * 6


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return small_sequences(tmp_path_factory.mktemp("held_out"), tokenizer, TEXTS)


def test_the_loss_does_not_depend_on_the_batch_size_and_is_the_models_own(bert: Path, held_out: Path, tmp_path: Path):
    small, large = (run(tmp_path / str(size), model=bert, held_out=held_out, batch_size=size) for size in (3, 24))
    for name in ("mlm_loss", "mlm_accuracy", "mlm_top_k_accuracy", "mlm_masked_tokens"):
        assert small[name] == pytest.approx(large[name], abs=1e-5)
    assert small["mlm_accuracy"] <= small["mlm_top_k_accuracy"]
    tokens = json.loads((held_out / "metadata.json").read_text())["tokens"]
    assert 0.1 < small["mlm_masked_tokens"] / (tokens - 3 * len(TEXTS)) < 0.2


def test_some_rows_are_drawn_from_all_of_them():
    assert draw(3, 0, seed=0).tolist() == draw(3, 5, seed=0).tolist() == [0, 1, 2]
    drawn = draw(1000, 100, seed=0)
    assert (np.diff(drawn) > 0).all(), "in order, none twice"
    assert drawn[:50].max() < 600 < drawn[-1], "not the first"
    assert draw(1000, 100, seed=1).tolist() != drawn.tolist()


def test_the_metrics_equal_a_plain_computation_from_the_models_logits(
    bert: Path, held_out: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    metrics = run(tmp_path, model=bert, held_out=held_out, seed=5, top_k=3, max_samples=10)
    model = FillMask.load(bert).runner.model
    rows = MaskedSequences(open_sequences(held_out), tokenizer, 0.15, seed=5)
    losses, ranks = [], []
    for index in draw(len(TEXTS), 10, seed=5).tolist():
        row = rows.__getitems__([(0, (index,))])
        order = row["places"].argsort()
        with torch.no_grad():
            inputs = {name: row[name][order][None] for name in ("input_ids", "token_type_ids")}
            log_probs = model(**inputs).logits[0].log_softmax(dim=-1)
        for position, word in zip(row["places"], row["labels"], strict=False):
            right = log_probs[position, word]
            losses.append(-right.item())
            ranks.append((log_probs[position] > right).sum().item())
    assert metrics["mlm_loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert metrics["mlm_accuracy"] == pytest.approx(ranks.count(0) / len(ranks))
    assert metrics["mlm_top_k_accuracy"] == pytest.approx(sum(rank < 3 for rank in ranks) / len(ranks))


@pytest.fixture(scope="module")
def opinionated(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return opinionated_model(tokenizer, tmp_path_factory.mktemp("opinionated"))


def test_exact_match_and_top_k_count_the_masked_word_among_the_candidates(opinionated: Path, tmp_path: Path):
    words = ("capital", "City", "river", "capital city")  # an uncased model: case does not matter
    rows = [("paris is the [MASK] of france .", word) for word in words]
    test_data = write_rows(tmp_path / "data" / "test_data.jsonl", *rows).parent
    metrics = run(tmp_path / "result", model=opinionated, test_data=test_data, top_k=2)
    assert (metrics["exact_match"], metrics["top_k_accuracy"]) == (0.25, 0.5)
    lines = (tmp_path / "result" / "predictions.jsonl").read_text().splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [row["rank"] for row in predictions] == [1, 2, None, None]
    assert [row["prediction"] for row in predictions] == ["capital"] * 4
    assert all([word["token"] for word in row["candidates"]] == ["capital", "city"] for row in predictions)


def test_the_configurations_top_k_holds_for_sentences_and_held_out_text(
    opinionated: Path, held_out: Path, tmp_path: Path
):
    rows = write_rows(tmp_path / "rows.jsonl", ("paris is the [MASK] of france .", "City"))
    asked = {"evaluation_config_params": '{"top_k": 2}', "top_k": 1}
    metrics = run(tmp_path / "result", model=opinionated, test_data=rows, held_out=held_out, max_samples=5, **asked)
    assert (metrics["top_k"], metrics["top_k_accuracy"]) == (2, 1.0)
    assert metrics["mlm_top_k_accuracy"] >= metrics["mlm_accuracy"]


def test_size_counts_tied_weights_once_and_speeds_are_positive(bert: Path, tmp_path: Path):
    metrics = run(tmp_path, model=bert, batch_size=2)
    parameters = small_bert().num_parameters()
    assert (metrics["num_parameters"], metrics["size_megabytes"]) == (parameters, round(4 * parameters / 1e6, 3))
    assert metrics["tokens_per_second"] > 0
    assert metrics["latency_milliseconds"] > 0
    assert "mlm_loss" not in metrics
    assert "exact_match" not in metrics


def test_an_mlflow_model_wins_over_a_folder(tokenizer: PreTrainedTokenizerFast, bert: Path, tmp_path: Path):
    student = student_from_teacher(small_bert(), 1)
    save(student, tokenizer, tmp_path / "mlflow" / "model")
    metrics = run(tmp_path / "result", model=bert, mlflow_model=tmp_path / "mlflow")
    assert metrics["num_parameters"] == student.num_parameters()
    step = json.loads((tmp_path / "result" / "step.json").read_text())
    assert set(step["inputs"]) == {"model", "mlflow_model"}


def test_sequences_of_another_tokenizer_are_refused(bert: Path, tmp_path: Path):
    other = small_tokenizer(tmp_path / "other")
    other.add_tokens(["elsewhere"])
    folder = small_sequences(tmp_path / "held_out", other, TEXTS[:2])
    with pytest.raises(InputError, match="written with another tokenizer"):
        run(tmp_path / "result", model=bert, held_out=folder)


def test_sequences_longer_than_the_model_are_refused(
    held_out: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    folder = save(small_bert(max_position_embeddings=16), tokenizer, tmp_path / "short")
    with pytest.raises(InputError, match="but the model has 16 positions"):
        run(tmp_path / "result", model=folder, held_out=held_out)


def test_a_gpu_that_is_not_there_is_one_sentence(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="device is gpu, but this machine has none"):
        run(tmp_path, model=bert, device="gpu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 65537}, "batch_size must be at most 65536, got 65537"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be between 0 and 4294967295, got -1"),
        ({"seed": 2**32}, "seed must be between 0 and 4294967295, got 4294967296"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, int], message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        EvaluateConfig(evaluation_result=tmp_path, **settings)


def test_several_masks_take_one_word_each_or_the_same_word(opinionated: Path, tmp_path: Path):
    rows = [
        ("[MASK] of [MASK] .", "capital"),  # one word for all masks
        ("[MASK] of [MASK] .", "capital capital"),  # a word a mask
        ("[MASK] of [MASK] .", "capital city"),
        ("[MASK] of [MASK] .", "river"),
        ("[MASK] of [MASK] .", "the old house by the river"),  # no mask has a word of its own
    ]
    write_rows(tmp_path / "rows.jsonl", *rows)
    metrics = run(tmp_path / "result", model=opinionated, test_data=tmp_path / "rows.jsonl", top_k=2)
    assert (metrics["exact_match"], metrics["top_k_accuracy"]) == (0.4, 0.6)
    predictions = [json.loads(line) for line in (tmp_path / "result" / "predictions.jsonl").read_text().splitlines()]
    assert [row["rank"] for row in predictions] == [1, 1, 2, None, None]
    assert predictions[0]["prediction"] == "capital capital"
    assert predictions[0]["filled"] == "capital of capital ."
    assert [len(row["more_masks"]) for row in predictions] == [1] * 5


def test_losses_of_test_sentences_are_the_models_own(bert: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    rows = [("the [MASK] sleeps in the house .", "cat"), ("paris is [MASK] capital of [MASK] .", "the france")]
    write_rows(tmp_path / "rows.jsonl", *rows)
    metrics = run(tmp_path / "result", model=bert, test_data=tmp_path / "rows.jsonl")
    model = FillMask.load(bert).runner.model
    losses = []
    for text, words in rows:
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            log_probs = model(**inputs).logits[0].log_softmax(dim=-1)
        places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
        ids = tokenizer(words, add_special_tokens=False)["input_ids"]
        losses += [-log_probs[place, index].item() for place, index in zip(places, ids, strict=True)]
    assert metrics["mlm_loss"] == pytest.approx(sum(losses) / 3, abs=1e-5)
    assert metrics["mlm_loss_low"] <= metrics["mlm_loss"] <= metrics["mlm_loss_high"]


def test_a_text_longer_than_the_model_is_read_round_its_mask_and_masks_too_far_apart_are_left_out(
    opinionated: Path, tmp_path: Path
):
    long = " ".join(["the cat sleeps ."] * 60)
    rows = [(f"{long} [MASK] {long}", "capital"), (f"[MASK] {long} [MASK]", "capital")]
    write_rows(tmp_path / "rows.jsonl", *rows)
    metrics = run(tmp_path / "result", model=opinionated, test_data=tmp_path / "rows.jsonl")
    assert (metrics["exact_match"], metrics["test_rows"], metrics["skipped_rows"]) == (1.0, 1, 1)


def test_intervals_hold_the_metric_and_narrow_with_more_examples():
    random = np.random.default_rng(0)
    few, many = (random.random(size) < 0.3 for size in (50, 5000))
    widths = []
    for hits in (few, many):
        found = with_interval("hits", ratio_of_sums, hits.astype(float), np.ones(len(hits)))
        assert found["hits_low"] <= found["hits"] <= found["hits_high"]
        widths.append(found["hits_high"] - found["hits_low"])
    # That of a share p of N examples is 2 * 1.96 * sqrt(p * (1 - p) / N) wide.
    assert widths[1] == pytest.approx(3.92 * (0.3 * 0.7 / 5000) ** 0.5, rel=0.1)
    assert widths[0] > 5 * widths[1]


def test_a_model_agrees_with_itself_and_its_speed_is_measured_beside_the_teachers(
    bert: Path, held_out: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    metrics = run(tmp_path / "same", model=bert, teacher=bert, held_out=held_out)
    assert metrics["teacher_agreement"] == 1.0
    other = save(small_bert(seed=1), tokenizer, tmp_path / "other")
    metrics = run(tmp_path / "other_result", model=bert, teacher=other, held_out=held_out)
    assert metrics["teacher_agreement"] < 0.5
    assert metrics["teacher_tokens_per_second"] > 0
    assert metrics["teacher_latency_milliseconds"] > 0


def test_masks_are_counted_by_their_position(bert: Path, held_out: Path, tmp_path: Path):
    metrics = run(tmp_path, model=bert, held_out=held_out)
    rows = json.loads((tmp_path / "mask_positions.json").read_text())
    assert sum(row["masked_tokens"] for row in rows) == metrics["mlm_masked_tokens"]
    mean = sum(row["masked_tokens"] * row["mlm_loss"] for row in rows) / metrics["mlm_masked_tokens"]
    assert mean == pytest.approx(metrics["mlm_loss"], abs=1e-5)
    assert all(row["first"] <= row["last"] for row in rows)
    assert [row["first"] for row in rows[1:]] == [row["last"] + 1 for row in rows[:-1]]


def test_mlflow_models_of_other_makers_are_found(tokenizer: PreTrainedTokenizerFast, bert: Path, tmp_path: Path):
    for model, words in (("model", "components/tokenizer"), ("data/model", "data/tokenizer")):
        folder = tmp_path / model.replace("/", "_")
        small_bert().save_pretrained(folder / model)
        tokenizer.save_pretrained(folder / words)
        assert mlflow_parts(folder) == (folder / model, folder / words)
        assert run(tmp_path / "result", mlflow_model=folder)["num_parameters"] == small_bert().num_parameters()
    with pytest.raises(InputError, match=r"holds no model/config\.json and no data/model/config\.json"):
        mlflow_parts(tmp_path / "result")


def test_a_word_that_the_vocabulary_lacks_is_never_right_and_has_no_loss(opinionated: Path, tmp_path: Path):
    rows = [("the [MASK] .", word) for word in ("\U0001f600", "[UNK]", "[MASK]", "capital")]
    write_rows(tmp_path / "rows.jsonl", *rows)
    metrics = run(tmp_path / "result", model=opinionated, test_data=tmp_path / "rows.jsonl")
    predictions = [json.loads(line) for line in (tmp_path / "result" / "predictions.jsonl").read_text().splitlines()]
    assert [row["loss"] is None for row in predictions] == [True, True, True, False]
    assert metrics["exact_match"] == 0.25


def test_a_teacher_that_does_not_fit_is_named_before_anything_is_written(
    bert: Path, held_out: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    small = save(small_bert(vocab_size=10), tokenizer, tmp_path / "small")
    with pytest.raises(InputError, match=r"teacher: The tokenizer has .* words and the model 10"):
        run(tmp_path / "result", model=bert, teacher=small)
    short = save(small_bert(max_position_embeddings=16), tokenizer, tmp_path / "short")
    with pytest.raises(InputError, match="but the teacher has 16 positions"):
        run(tmp_path / "result", model=bert, teacher=short, held_out=held_out)
    tiny = save(small_bert(max_position_embeddings=2), tokenizer, tmp_path / "tiny")
    with pytest.raises(InputError, match="model: the model reads 2 tokens at once"):
        run(tmp_path / "result", model=tiny)
    assert list((tmp_path / "result").iterdir()) == []


def test_what_an_earlier_run_left_is_gone(opinionated: Path, held_out: Path, tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", ("the [MASK] .", "cat"))
    run(tmp_path / "result", model=opinionated, test_data=tmp_path / "rows.jsonl", held_out=held_out)
    run(tmp_path / "result", model=opinionated)
    assert {path.name for path in (tmp_path / "result").iterdir()} == {"evaluationResult", "step.json"}


def test_a_result_over_an_input_is_refused(bert: Path):
    with pytest.raises(InputError, match=r"evaluation_result .* and model .* overlap"):
        run(bert, model=bert)


def test_what_was_asked_for_and_has_no_input_is_said_to_be_absent(bert: Path, held_out: Path, tmp_path: Path):
    asked = json.dumps({"metrics": ["perplexity", "exact_match", "mlm_loss"]})
    run(tmp_path / "result", model=bert, held_out=held_out, evaluation_config_params=asked)
    absent = json.loads((tmp_path / "result" / "evaluationResult" / "absent.json").read_text())
    needed = ("exact_match", "mean_perplexity", "median_perplexity")
    assert absent == dict.fromkeys(needed, "it needs test_data")
