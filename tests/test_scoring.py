import json
import logging
import re

import pytest

from bert_distillation import score
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import Candidate, FillMask
from bert_distillation.scoring import (
    MAX_CHARACTERS,
    MAX_MASKS,
    MAX_TEXTS,
    Question,
    TooLargeError,
    entry,
    parse_request,
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
    assert error["code"] in ("InvalidRequest", "TooLarge")
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


def test_params_are_read_beside_the_texts():
    params = {"top_k": 3, "targets": ["rome"], "return_scores": True, "order": "left_to_right"}
    question = parse_request(json.dumps({"input_data": TEXTS, "params": params}))
    assert question == Question(texts=TEXTS, **(params | {"targets": ("rome",)}))


MISTAKES = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ('{"input_data": ' + "[" * 5_000 + "]" * 5_000 + "}", ""),
    ("9" * 10_000, "no input_data|not JSON"),
    ("null", "no input_data"),
    ("[]", "no input_data"),
    ('"input_data"', "no input_data"),
    ("{}", "no input_data"),
    ('{"data": ["a"]}', "no input_data"),
    ('{"Input_Data": ["a [MASK]"]}', "no input_data"),
    ('{"input_data": 3}', "must be a list of texts"),
    ('{"input_data": null}', "must be a list of texts"),
    ('{"input_data": true}', "must be a list of texts"),
    ('{"input_data": NaN}', "must be a list of texts"),
    ('{"input_data": {}}', "without input_string"),
    ('{"input_data": {"x": []}}', "without input_string"),
    ('{"input_data": {"input_string": 1}}', "must be a list of texts"),
    ('{"input_data": {"input_string": {"0": "a [MASK]"}}}', "must be a list of texts"),
    ('{"input_data": {"columns": ["a", "b"], "data": []}}', "frame without a column input_string"),
    ('{"input_data": {"columns": 3, "data": []}}', "frame without a column input_string"),
    ('{"input_data": {"columns": ["input_string"], "data": 3}}', "data of input_data must be a list of rows"),
    ('{"input_data": {"columns": ["input_string"], "data": [["a", "b"]]}}', "Text 0 is .* not a string"),
    ('{"input_data": {"columns": ["input_string"], "data": [[]]}}', "Text 0 is .*, not a string"),
    ('{"input_data": ["a [MASK]", 3]}', "Text 1 is 3, not a string"),
    ('{"input_data": [null]}', "Text 0 is null, not a string"),
    ('{"input_data": [NaN]}', "Text 0 is NaN, not a string"),
    ('{"input_data": [Infinity]}', "Text 0 is Infinity, not a string"),
    ('{"input_data": [1e400]}', "Text 0 is Infinity, not a string"),
    ('{"input_data": [true]}', "Text 0 is true, not a string"),
    ('{"input_data": [["a [MASK]"]]}', "Text 0 is .*, not a string"),
    ('{"input_data": [{"text": "a [MASK]"}]}', "Text 0 is .*, not a string"),
    ('{"input_data": [[[[[[]]]]]]}', "Text 0 is .*, not a string"),
    ('{"input_data": [""]}', r"Text 0 has no \[MASK\]: ''"),
    ('{"input_data": ["   "]}', r"Text 0 has no \[MASK\]"),
    ('{"input_data": ["no mask"]}', r"Text 0 has no \[MASK\]: 'no mask'"),
    ('{"input_data": ["a [mask]"]}', r"Text 0 has no \[MASK\]"),
    ('{"input_data": ["a <mask>"]}', r"Text 0 has no \[MASK\]"),
    ('{"input_data": ["a [MASK]", "\\u202e \\u05d0"]}', r"Text 1 has no \[MASK\]"),
    (json.dumps({"input_data": ["[MASK] " * (MAX_MASKS + 1)]}), f"Text 0 has {MAX_MASKS + 1} masks; send at most"),
    (json.dumps({"input_data": ["[MASK]" + " cat" * 600 + "[MASK]"]}), "Text 0 has masks 601 tokens apart"),
    ('{"input_data": ["a [MASK]"], "params": 3}', "params must be an object of top_k, targets"),
    ('{"input_data": ["a [MASK]"], "params": []}', "params must be an object"),
    ('{"input_data": ["a [MASK]"], "params": {"topk": 3}}', "params has no 'topk'; there are top_k, targets"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 0}}', "top_k must be a whole number from 1 to 100, got 0"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 101}}', "top_k must be a whole number from 1 to 100"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": -1}}', "top_k must be"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 2.5}}', "top_k must be a whole number.*got 2.5"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": "3"}}', "top_k must be a whole number"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": true}}', "top_k must be a whole number.*got true"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": null}}', "top_k must be a whole number"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 1e9}}', "top_k must be a whole number"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": []}}', "targets must be a list of 1 to 1000 words"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": "rome"}}', "targets must be a list"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": [3]}}', "targets must be a list"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": ["xyzzyx"]}}', "target 'xyzzyx' is not one word"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": [""]}}', "target '' is not one word"),
    ('{"input_data": ["a [MASK]"], "params": {"return_scores": 1}}', "return_scores must be true or false, got 1"),
    ('{"input_data": ["a [MASK]"], "params": {"return_scores": "yes"}}', "return_scores must be true or false"),
    ('{"input_data": ["a [MASK]"], "params": {"order": "right"}}', "order must be together or left_to_right"),
    ('{"input_data": ["a [MASK]"], "params": {"order": []}}', "order must be together or left_to_right"),
]


@pytest.mark.parametrize(("body", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_answered_with_400_and_a_sentence(body, sentence, served):

    status, message = refused(body)
    assert status == 400
    assert re.search(sentence, message), message
    assert message.endswith((".", "?"))
    assert "Traceback" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "texts", [["a [MASK]"] * (MAX_TEXTS + 1), ["a" * (MAX_CHARACTERS + 1)], ["a"] * 10_000, ["[MASK] " * 3_000_000]]
)
def test_too_much_is_refused_with_413_before_any_text_is_read(texts, served, monkeypatch):
    monkeypatch.setattr(served, "encode", None)
    status, message = refused({"input_data": texts})
    assert status == 413
    assert "in one request; send" in message
    with pytest.raises(TooLargeError):
        parse_request(json.dumps({"input_data": texts}))


ODD_TEXTS = [
    "\ud800 [MASK]",  # half of a surrogate pair
    "\x00 [MASK] \x07\x1b",
    "\u202e [MASK] \u05d0\u05d1",
    "\U0001f600 [MASK] \U0001f1eb\U0001f1f7",
    "[MASK][MASK]",
    "[CLS] paris is the [MASK] of france . [SEP]",
    "a\u0301" * 500 + "[MASK]",
    "[MASK]" + "\u200b" * 1000,
    "cat " * 2000 + "[MASK]" + " dog" * 2000,
    "[MASK]" + "x" * 5000,
]


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
    with caplog.at_level(logging.INFO, logger="fill_mask"):
        score.run(body)
        score.run('{"input_data": ["a secret without one"]}')
        assert "answered 2 texts, 17 tokens, in " in caplog.text
        assert "paris" not in caplog.text
        assert "secret" not in caplog.text
        monkeypatch.setenv("FILL_MASK_LOG_TEXTS", "1")
        score.run(body)
    assert TEXTS[0] in caplog.text


def test_a_deployment_without_a_model_says_so(tmp_path):
    with pytest.raises(InputError, match=r"There is no config\.json under"):
        score.model_folder(tmp_path)
