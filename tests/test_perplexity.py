import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from bert_distillation.errors import InputError
from bert_distillation.evaluation_config import Asked, read_evaluation_config
from bert_distillation.perplexity import CausalModel, perplexity_metrics
from small_evaluation import opinionated_model, run, write_rows
from small_models import move_word, save


@pytest.fixture(scope="module")
def opinionated(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return opinionated_model(tokenizer, tmp_path_factory.mktemp("opinionated"))


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "initializer_range": 0.5}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=2, eos_token_id=3, **sizes))
    return save(model, tokenizer, tmp_path_factory.mktemp("causal"))


def test_perplexity_is_that_of_the_filled_texts_by_the_causal_model(
    opinionated: Path, causal: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    rows = [("paris is the [MASK] of france .", "capital"), ("the [MASK] .", "cat"), ("[MASK] runs to it .", "she")]
    write_rows(tmp_path / "rows.jsonl", *rows)
    settings = {"model": opinionated, "test_data": tmp_path / "rows.jsonl", "causal_model": causal}
    metrics = run(tmp_path / "result", **settings)
    model = GPT2LMHeadModel.from_pretrained(causal).eval()
    expected = []
    for text, _ in rows:
        filled = text.replace("[MASK]", "capital")
        ids = tokenizer(filled, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected.append(model(ids, labels=ids).loss.exp().item())  # its mean over all tokens but the first
    assert metrics["mean_perplexity"] == pytest.approx(sum(expected) / 3, rel=1e-4)
    assert metrics["median_perplexity"] == pytest.approx(sorted(expected)[1], rel=1e-4)
    assert metrics["mean_perplexity_low"] <= metrics["mean_perplexity"] <= metrics["mean_perplexity_high"]


@pytest.mark.parametrize("name", ["perplexity", "perplexities"])
def test_perplexity_without_a_causal_model_is_absent_with_a_reason(opinionated: Path, name: str, tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", ("the [MASK] .", "capital"))
    (tmp_path / "eval-config.json").write_text(json.dumps({"metrics": [name]}))
    settings = {"model": opinionated, "test_data": tmp_path / "rows.jsonl"}
    metrics = run(tmp_path / "result", **settings, evaluation_config=tmp_path / "eval-config.json")
    absent = json.loads((tmp_path / "result" / "evaluationResult" / "absent.json").read_text())
    assert metrics["exact_match"] == 1.0
    assert "mean_perplexity" not in metrics
    assert set(absent) == {"mean_perplexity", "median_perplexity"}
    assert all("give its folder as causal_model" in reason for reason in absent.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "evaluation_config_params is not JSON"),
        ("[]", "is an object like"),
        ('{"metric": []}', "has the key 'metric'; known are metrics, .* Did you mean \"metrics\""),
        ('{"metrics": ["perplexitys"]}', "asks for the metric 'perplexitys'.* Did you mean \"perplexit"),
        ('{"metrics": [{}]}', "asks for the metric {}"),
        ('{"batch_size": "16"}', "batch_size is a number from 1 to 65536, got '16'"),
        ('{"top_k": 0}', "top_k is a number from 1 to 65536, got 0"),
        ('{"model_id": 3}', "model_id is the name of a causal model, got 3"),
        ('{"add_start_token": 1}', "add_start_token is true or false, got 1"),
    ],
)
def test_a_configuration_that_is_not_understood_is_one_sentence(text: str, message: str):
    with pytest.raises(InputError, match=message):
        read_evaluation_config(None, text)


def test_the_samples_configuration_is_understood_from_a_file_and_from_a_text(tmp_path: Path):
    text = '{"metrics": "perplexities", "model_id": "gpt2", "batch_size": 8, "add_start_token": false, "top_k": 3}'
    (tmp_path / "eval-config.json").write_text(text)
    asked = Asked(perplexity=True, model_id="gpt2", batch_size=8, add_start_token=False, top_k=3)
    assert read_evaluation_config(None, text) == read_evaluation_config(tmp_path / "eval-config.json", "") == asked
    with pytest.raises(InputError, match="not both"):
        read_evaluation_config(tmp_path / "eval-config.json", text)
    with pytest.raises(InputError, match="is no file; give a JSON file"):
        read_evaluation_config(tmp_path / "nothing.json", "")


@pytest.mark.parametrize("kind", ["masked", "foreign", "gaps"])
def test_a_model_that_perplexity_cannot_be_measured_with_is_refused(
    kind: str, opinionated: Path, causal: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    write_rows(tmp_path / "rows.jsonl", ("the [MASK] .", "cat"))
    folder = opinionated
    if kind == "foreign":
        folder = save(
            GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1)), tokenizer, tmp_path / "g"
        )
    if kind == "gaps":
        folder = move_word(shutil.copytree(causal, tmp_path / "g"), "cat", 631)
    message = {
        "masked": "sees the words that it predicts",
        "foreign": "words and the model 9",
        "gaps": "words, one of them with the id 631, and the model",
    }[kind]
    with pytest.raises(InputError, match=f"causal_model: .*{message}"):
        run(tmp_path / "result", model=opinionated, test_data=tmp_path / "rows.jsonl", causal_model=folder)
    assert list((tmp_path / "result").iterdir()) == []


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_causal_model_in_half_precision_is_widened_on_every_device(
    causal: Path, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(CausalModel, "_check_answers", lambda *_: None)  # of `meta`, which stands for a GPU
    half = GPT2LMHeadModel.from_pretrained(causal).half()
    folder = save(half, AutoTokenizer.from_pretrained(causal), tmp_path)
    model = CausalModel(folder, "", batch_size=2, device=device).model
    assert {(part.dtype, part.device.type) for part in model.parameters()} == {(torch.float32, device)}


def overflowing_from(position: int, causal: Path, folder: Path) -> Path:
    """The causal model with finite weights that answers what is no number from a position on."""
    model = GPT2LMHeadModel.from_pretrained(causal)
    with torch.no_grad():
        model.transformer.wpe.weight[position:, ::2] = 3e38
        model.transformer.wpe.weight[position:, 1::2] = -3e38
    return save(model, AutoTokenizer.from_pretrained(causal), folder)


def test_texts_whose_loss_is_no_number_are_counted_and_left_out(
    opinionated: Path, causal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    short, long = ("the [MASK] .", "cat"), ("paris is the [MASK] of france .", "capital")
    folder = overflowing_from(5, causal, tmp_path / "causal")
    # Alone in its batch, as padding would bring the short text to that position.
    settings = {"model": opinionated, "causal_model": folder, "evaluation_config_params": '{"batch_size": 1}'}
    alone = run(tmp_path / "alone", **settings, test_data=write_rows(tmp_path / "alone.jsonl", short))
    assert "perplexity leaves out" not in capsys.readouterr().out
    both = run(tmp_path / "both", **settings, test_data=write_rows(tmp_path / "both.jsonl", short, long, long))
    assert "perplexity leaves out 2 whose perplexity is not finite, of 3 filled texts\n" in capsys.readouterr().out
    assert both["mean_perplexity"] == pytest.approx(alone["mean_perplexity"], rel=1e-5)
    assert "mean_perplexity" not in run(
        tmp_path / "none", **settings, test_data=write_rows(tmp_path / "none.jsonl", long, long)
    )
    absent = json.loads((tmp_path / "none" / "evaluationResult" / "absent.json").read_text())
    reason = "no filled text can be judged (2 whose perplexity is not finite, of 2 filled texts)"
    assert absent == dict.fromkeys(("mean_perplexity", "median_perplexity"), reason)


def test_a_text_of_one_token_without_a_start_token_is_counted_and_left_out(causal: Path):
    model = CausalModel(causal, "", batch_size=2, add_start_token=False)
    metrics, left_out = perplexity_metrics(model, ["cat", "the cat sleeps"], seed=0)
    assert left_out == "1 of a single token, of 2 filled texts"
    assert metrics["mean_perplexity"] == model.perplexities(["the cat sleeps"])[0]


def test_a_causal_model_that_overflows_is_not_said_to_see_what_it_predicts(causal: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"causal_model: the logits of .* are not finite numbers; give a model whose"):
        CausalModel(overflowing_from(0, causal, tmp_path), "", batch_size=2)


def test_a_loss_beyond_what_single_precision_can_raise_to_a_power_is_judged(causal: Path):
    model = CausalModel(causal, "", batch_size=2)
    before = model.perplexities(["the cat sleeps"])
    assert np.isfinite(before).all()
    with torch.no_grad():
        model.model.lm_head.weight *= 100  # also the words that are read, whose size the layer norm takes out
    [perplexity] = model.perplexities(["the cat sleeps"])
    assert 1e39 < perplexity < np.inf
