import json
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation.batches import MaskedSequences
from bert_distillation.cloze import read_cloze
from bert_distillation.errors import InputError
from bert_distillation.evaluate import EvaluateConfig, evaluate
from bert_distillation.fill_mask import FillMask
from bert_distillation.sequences import open_sequences
from bert_distillation.student import student_from_teacher
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


def run(output: Path, **settings: object) -> dict[str, float]:
    evaluate(EvaluateConfig(evaluation_result=output, **settings))
    return json.loads((output / "evaluationResult" / "metrics.json").read_text())


def test_the_loss_does_not_depend_on_the_batch_size_and_is_the_models_own(bert: Path, held_out: Path, tmp_path: Path):
    small, large = (run(tmp_path / str(size), model=bert, held_out=held_out, batch_size=size) for size in (3, 24))
    for name in ("mlm_loss", "mlm_accuracy", "mlm_top_k_accuracy", "mlm_masked_tokens"):
        assert small[name] == pytest.approx(large[name], abs=1e-5)
    assert small["mlm_accuracy"] <= small["mlm_top_k_accuracy"]
    tokens = json.loads((held_out / "metadata.json").read_text())["tokens"]
    assert 0.1 < small["mlm_masked_tokens"] / (tokens - 3 * len(TEXTS)) < 0.2


def test_the_metrics_equal_a_plain_computation_from_the_models_logits(
    bert: Path, held_out: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    metrics = run(tmp_path, model=bert, held_out=held_out, seed=5, top_k=3, max_samples=10)
    model = FillMask.load(bert).runner.model
    rows = MaskedSequences(open_sequences(held_out), tokenizer, 0.15, seed=5)
    losses, ranks = [], []
    for index in range(10):
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


def write_rows(path: Path, *rows: tuple[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"input_string": text, "title": word}) for text, word in rows]
    path.write_text("\n".join(lines) + "\n\n")
    return path


@pytest.fixture(scope="module")
def opinionated(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A model that answers "capital", then "city", then "river" to everything."""
    model = small_bert()
    with torch.no_grad():
        for bias, word in ((300.0, "capital"), (200.0, "city"), (100.0, "river")):
            model.cls.predictions.bias[tokenizer.convert_tokens_to_ids(word)] = bias
    return save(model, tokenizer, tmp_path_factory.mktemp("opinionated"))


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


def test_rows_without_exactly_one_mask_are_counted_and_left_out(tmp_path: Path):
    rows = [("the [MASK] .", "cat"), ("no mask", "cat"), ("[MASK] [MASK]", "cat")]
    usable, skipped = read_cloze(write_rows(tmp_path / "rows.jsonl", *rows), "[MASK]")
    assert [row.input_string for row in usable] == ["the [MASK] ."]
    assert skipped == 2
    with pytest.raises(InputError, match=r"none of the 1 rows .* has exactly one \[MASK\]"):
        read_cloze(write_rows(tmp_path / "bad.jsonl", rows[1]), "[MASK]")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", r"not JSON \("),
        (b"[]", "a row is an object with input_string and title, not list"),
        (b'{"input_string": "[MASK]", "word": "x"}', 'no text in column "title"; the row has: input_string, word'),
        (b'{"input_string": "caf\xe9"}', "not UTF-8 text"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_with_file_and_line(line: bytes, reason: str, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"input_string": "[MASK]", "title": "x"}\n' + line)
    with pytest.raises(InputError, match=f"rows.jsonl:2: {reason}"):
        read_cloze(path, "[MASK]")


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"input_string": ' + b"7" * 5000 + b"}"])
def test_json_that_no_reader_takes_is_named_with_file_and_line(line: bytes, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_bytes(line)
    with pytest.raises(InputError, match=r"rows\.jsonl:1: not JSON that can be read"):
        read_cloze(tmp_path, "[MASK]")


def test_half_of_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"input_string": "\\ud83d [MASK]", "title": "\\udc00"}')
    (row,), _ = read_cloze(tmp_path, "[MASK]")
    assert (row.input_string, row.title) == ("? [MASK]", "?")


def test_a_folder_with_the_name_of_a_file_is_passed_over(tmp_path: Path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(InputError, match=r"holds no \.jsonl file"):
        read_cloze(tmp_path, "[MASK]")
    write_rows(tmp_path / "b.jsonl", ("[MASK]", "cat"))
    assert len(read_cloze(tmp_path, "[MASK]")[0]) == 1


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


def test_test_data_that_is_not_there_is_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="there is no file or folder"):
        read_cloze(tmp_path / "nothing", "[MASK]")
    with pytest.raises(InputError, match=r"holds no \.jsonl file"):
        read_cloze(tmp_path, "[MASK]")
