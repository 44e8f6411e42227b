import json

import pytest

from bert_distillation import score
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask
from bert_distillation.scoring import MAX_CHARACTERS, MAX_TEXTS, TooLargeError, parse_request, reply
from small_models import PIECES, save, small_bert

TEXTS = ["paris is the [MASK] of france.", "today is a [MASK] day!"]


@pytest.fixture(scope="module")
def model_folder(tokenizer, tmp_path_factory):
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("mounted") / "mlflow_model" / "model")


@pytest.mark.parametrize(
    "request_body",
    [
        {"input_data": TEXTS},
        {"inputs": {"input_string": TEXTS}},
        {"input_data": {"input_string": TEXTS}},
        {"input_data": TEXTS, "params": {}},
    ],
)
def test_the_cards_request_and_the_older_ones_carry_the_same_texts(request_body):
    assert parse_request(json.dumps(request_body)) == TEXTS


def test_a_bare_text_is_one_text_and_no_text_is_no_text():
    assert parse_request('{"input_data": "a [MASK]"}') == ["a [MASK]"]
    assert parse_request('{"input_data": []}') == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no input_data"),
        ('{"data": ["a"]}', "no input_data"),
        ('{"input_data": 3}', "must be a list of texts"),
        ('{"input_data": null}', "must be a list of texts"),
        ('{"input_data": {"x": []}}', "without input_string"),
        ('{"input_data": ["a [MASK]", 3]}', "Text 1 is 3, not a string"),
    ],
)
def test_a_request_that_cannot_be_read_is_answered_with_a_sentence(body, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_request(body)


@pytest.mark.parametrize("texts", [["a [MASK]"] * (MAX_TEXTS + 1), ["a" * (MAX_CHARACTERS + 1)]])
def test_too_much_is_refused_before_it_is_read(texts):
    with pytest.raises(TooLargeError, match="in one request; send at most"):
        parse_request(json.dumps({"input_data": texts}))


def test_the_reply_is_a_flat_list_with_one_word_a_text(model_folder):
    words = reply(FillMask.load(model_folder), json.dumps({"input_data": TEXTS}))
    assert len(words) == 2
    assert all(word in PIECES for word in words)


def test_the_scoring_script_answers_and_turns_mistakes_into_400_and_413(model_folder, monkeypatch):
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_folder.parents[1]))
    score.init()
    body = json.dumps({"input_data": TEXTS})
    assert score.run(body) == reply(score.predictor, body)
    mistake = score.run('{"input_data": ["no mask"]}')
    assert mistake.status_code == 400
    assert "Text 0 has no [MASK]" in mistake.get_data(as_text=True)
    assert score.run(json.dumps({"input_data": ["a"] * (MAX_TEXTS + 1)})).status_code == 413


def test_a_deployment_without_a_model_says_so(tmp_path):
    with pytest.raises(InputError, match=r"There is no config\.json under"):
        score.model_folder(tmp_path)


def test_half_a_surrogate_pair_is_no_reason_to_fail(model_folder):
    predictor = FillMask.load(model_folder)
    assert len(reply(predictor, '{"input_data": ["\\ud800 [MASK]", "\\u0000 [MASK] \\u202e"]}')) == 2
