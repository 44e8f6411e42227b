import json
import logging
import re
import threading

import numpy as np
import pytest
import torch
from hostile_requests import MISTAKES, ODD_TEXTS, TOO_LARGE

from bert_distillation import score, scoring
from bert_distillation.errors import InputError, NotFiniteError
from bert_distillation.fill_mask import Candidate, FillMask
from bert_distillation.scoring import (
    MAX_CHARACTERS,
    Question,
    TooLargeError,
    check_texts,
    entry,
    parse_params,
    parse_request,
    refusal,
)
from small_models import PIECES, save, small_bert

TEXTS = ["paris is the [MASK] of france.", "today is a [MASK] day!"]
FRAME = {"columns": ["input_string"], "index": [0, 1], "data": [[text] for text in TEXTS]}


@pytest.fixture(scope="module")
def model_folder(tokenizer, tmp_path_factory):
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("mounted") / "mlflow_model" / "model")


@pytest.fixture
def served(model_folder, monkeypatch) -> FillMask:
    """The scoring script, as the server has it after `init`."""
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_folder.parents[1]))
    score.init()
    return score.predictor


def refused(body: object) -> tuple[int, str]:
    """The status and the sentence of a refusal."""
    response = score.run(body if isinstance(body, str) else json.dumps(body))
    error = json.loads(response.get_data(as_text=True))["error"]
    assert error["code"] in ("InvalidRequest", "TooLarge", "Busy", "NotFinite")
    return response.status_code, error["message"]


@pytest.mark.parametrize(
    "request_body",
    [
        {"input_data": TEXTS},
        {"inputs": TEXTS},
        {"inputs": {"input_string": TEXTS}},
        {"input_data": {"input_string": TEXTS}},
        {"input_data": FRAME},
        {"inputs": FRAME},
        {"input_data": FRAME | {"columns": ["text"]}},
        {"input_data": {"columns": ["id", "input_string"], "data": [[7, text] for text in TEXTS]}},
        {"input_data": TEXTS, "params": {}},
        {"input_data": TEXTS, "params": None},
    ],
)
def test_the_cards_request_and_the_older_ones_carry_the_same_texts(request_body):
    assert parse_request(json.dumps(request_body)) == Question(texts=TEXTS)


def test_a_bare_text_is_one_text_and_no_text_is_no_text():
    assert parse_request('{"input_data": "a [MASK]"}').texts == ["a [MASK]"]
    assert parse_request('{"inputs": {"input_string": "a [MASK]"}}').texts == ["a [MASK]"]
    assert parse_request('{"input_data": []}').texts == []


def test_what_python_alone_can_send_is_refused_by_a_sentence():
    for text in (np.int64(1), b"x [MASK]", {1, 2}):
        with pytest.raises(InputError, match=r"Text 0 is .*, not a string"):
            check_texts([text], "input_data")
    with pytest.raises(InputError, match="top_k must be a whole number"):
        parse_params({"params": {"top_k": np.float32(2)}})


def test_params_are_read_beside_the_texts():
    params = {"top_k": 3, "targets": ["rome"], "return_scores": True, "order": "left_to_right"}
    question = parse_request(json.dumps({"input_data": TEXTS, "params": params}))
    assert question == Question(texts=TEXTS, **(params | {"targets": ("rome",)}))


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(("body", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_answered_with_400_and_a_sentence(body, sentence, served):

    status, message = refused(body)
    assert status == 400
    assert re.search(sentence, message), message
    assert message.endswith((".", "?"))
    assert "Traceback" not in message
    assert len(message) < 400


@pytest.mark.parametrize("texts", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_too_much_is_refused_with_413_before_any_text_is_read(texts, served, monkeypatch):
    monkeypatch.setattr(served, "encode", None)
    status, message = refused({"input_data": texts})
    assert status == 413
    assert "in one request; send" in message
    with pytest.raises(TooLargeError):
        parse_request(json.dumps({"input_data": texts}))


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
def test_an_odd_text_is_a_text(text, served):
    [words] = score.run(json.dumps({"input_data": [text]}))
    assert len(words.split(" ")) == text.count("[MASK]")


def test_the_reply_is_a_flat_list_with_one_word_a_text(served):
    words = score.run(json.dumps({"input_data": TEXTS}))
    assert words == [candidates[0].token for candidates in served.predict(TEXTS)]
    assert all(word in PIECES for word in words)
    assert score.run('{"input_data": []}') == []


def test_an_entry_says_which_mask_it_is_about():
    word = Candidate("rome", 0.75), Candidate("paris", 0.25)
    flat = Question(texts=[""])
    assert entry([[word[0]]], flat) == "rome"
    assert entry([[word[0]], [word[1]]], flat) == "rome paris"
    two = Question(texts=[""], top_k=2)
    assert entry([list(word)], two) == ["rome", "paris"]
    assert entry([list(word), list(word[::-1])], two) == [["rome", "paris"], ["paris", "rome"]]
    scored = Question(texts=[""], return_scores=True)
    assert entry([[word[0]]], scored) == [{"word": "rome", "score": 0.75}]
    assert json.loads(json.dumps(entry([[word[0]], [word[1]]], scored)))[1] == [{"word": "paris", "score": 0.25}]


def test_the_log_has_times_and_counts_and_no_text_unless_it_is_switched_on(served, caplog, monkeypatch):
    body = json.dumps({"input_data": TEXTS})
    with caplog.at_level(logging.INFO, logger="azmlinfsrv.fill_mask"):
        score.run(body)
        score.run('{"input_data": ["a secret without one"]}')
        assert "answered 2 texts, 17 tokens, in " in caplog.text
        assert "paris" not in caplog.text
        assert "secret" not in caplog.text
        monkeypatch.setenv("FILL_MASK_LOG_TEXTS", "1")
        score.run(body)
    assert TEXTS[0] in caplog.text


@pytest.mark.parametrize(("order", "each"), [("left_to_right", ", once for each mask"), ("together", "")])
def test_what_keeps_the_model_busy_for_long_is_refused(order, each, served, monkeypatch):
    texts = ["[MASK] " * 10 + "day " * 7, "day " * 7 + "[MASK] " * 10, "[MASK] day day ."]
    lengths = [len(row) for row in served.encode(texts)]
    tokens = sum(length * masks for length, masks in zip(lengths, (10, 10, 1) if each else (1, 1, 1), strict=True))
    monkeypatch.setattr(scoring, "MAX_TOKENS", tokens - 1)
    sentence = f"The model would read {tokens} tokens for this request{each}; send at most {tokens - 1}."
    body = {"input_data": texts, "params": {"order": order}}
    assert refused(body) == (413, sentence)
    monkeypatch.setattr(scoring, "MAX_TOKENS", tokens)
    assert len(score.run(json.dumps(body))) == 3


def test_who_is_not_answered_in_time_is_told_to_ask_again(model_folder, monkeypatch):
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_folder.parents[1]))
    monkeypatch.setenv("FILL_MASK_TIMEOUT", "1")
    score.init()
    going_on = threading.Event()
    monkeypatch.setattr(score.predictor, "fill", lambda *_: going_on.wait(10))
    status, sentence = refused({"input_data": TEXTS})
    going_on.set()
    assert (status, sentence) == (503, "Not answered within 1 seconds; ask again later, or with fewer texts at a time.")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("FILL_MASK_TIMEOUT", "0", "whole seconds from 1 to 600, got '0'"),
        ("FILL_MASK_TIMEOUT", "601", "whole seconds from 1 to 600, got '601'"),
        ("FILL_MASK_TIMEOUT", "soon", "whole seconds from 1 to 600, got 'soon'"),
        ("FILL_MASK_THREADS", "-1", "a whole number, 0 for all cores, got '-1'"),
        ("WORKER_PRELOAD", "true", "must be false: a model's threads do not outlive the fork"),
        ("GUNICORN_CMD_ARGS", "-k gthread --preload", "must be false: a model's threads do not outlive the fork"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_start(name, value, sentence, model_folder, monkeypatch):
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_folder.parents[1]))
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=sentence):
        score.init()


def test_a_process_whose_gpu_is_lost_ends_and_one_out_of_memory_goes_on(served, monkeypatch):
    ended = []
    monkeypatch.setattr(score.os, "_exit", ended.append)
    full = torch.OutOfMemoryError("no room"), torch.AcceleratorError("CUDA error: out of memory")
    for error in (*full, torch.AcceleratorError("device-side assert")):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(served, "fill", fail)
        with pytest.raises(type(error)):
            score.run(json.dumps({"input_data": TEXTS}))
        assert ended == ([] if error in full else [1])


def test_an_answer_that_is_no_number_is_an_error_and_no_word(tokenizer, tmp_path):
    wide, biased = small_bert(), small_bert()
    with torch.no_grad():
        wide.bert.encoder.layer[0].intermediate.dense.weight.mul_(1e6)
        biased.cls.predictions.decoder.bias[7] = 7e4  # past fp16's end, where it is infinite
    for name, model in {"wide": wide, "biased": biased}.items():
        folder = save(model, tokenizer, tmp_path / name)
        assert FillMask.load(folder).predict(TEXTS)
        with pytest.raises(InputError, match=r"^The model overflows, its answer is no number; take bf16 or fp32"):
            FillMask.load(folder, "fp16").predict(TEXTS)
    assert refusal(NotFiniteError("no number")) == (500, {"error": {"code": "NotFinite", "message": "no number"}})


def test_a_deployment_without_a_model_says_so(tmp_path):
    with pytest.raises(InputError, match=r"There is no config\.json under"):
        score.model_folder(tmp_path)


def test_characters_are_counted_however_json_spells_them():
    faces = ["\U0001f600" * MAX_CHARACTERS]
    assert parse_request(json.dumps({"input_data": faces})).texts == faces
