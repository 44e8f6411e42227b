"""The endpoint as deployed: an exported model behind the real inference server, with our script and without any."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile_requests
import pytest
import yaml

from azureml_local.serving import Deployments, DeploymentSpec
from bert_distillation.export import ExportConfig, export
from bert_distillation.fill_mask import FillMask
from bert_distillation.student import student_from_teacher
from conftest import ROOT
from small_models import save, small_bert

TEXTS = ["paris is the [MASK] of france .", "today is a [MASK] day !", "the [MASK] sleeps ."]
KINDS = ["deployment", "deployment-nocode"]


@pytest.fixture(scope="module")
def exported(tokenizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    student = save(student_from_teacher(small_bert(), 2), tokenizer, folder / "student")
    export(ExportConfig(student=student, mlflow_model=folder / "mlflow_model"))
    return folder / "mlflow_model"


@pytest.fixture(scope="module")
def words(exported) -> list[str]:
    return [candidates[0].token for candidates in FillMask.load(exported / "model").predict(TEXTS)]


@pytest.fixture(scope="module")
def deployments(tmp_path_factory) -> Iterator[Deployments]:
    deployments = Deployments(tmp_path_factory.mktemp("home"), start_timeout=120)
    yield deployments
    deployments.close()


@pytest.fixture(scope="module")
def addresses(exported, deployments) -> dict[str, str]:
    """The two deployments of endpoints/fill-mask, by their files."""
    found = {}
    for kind in KINDS:
        file = ROOT / "endpoints" / "fill-mask" / f"{kind}.yml"
        described = yaml.safe_load(file.read_text())
        code = described.get("code_configuration", {})
        deployments.start(
            "fill-mask",
            DeploymentSpec(
                name=described["name"],
                model=exported,
                code=(file.parent / code["code"]).resolve() if code else None,
                scoring_script=code.get("scoring_script"),
                environment_variables=described["environment_variables"],
            ),
        )
        found[kind] = deployments.address("fill-mask", described["name"])
    return found


def ask(address: str, body: object, content_type: str = "application/json") -> tuple[int, object]:
    """Status and content of an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/score", content, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("kind", KINDS)
def test_both_deployments_answer_with_the_predictors_words(kind, addresses, words):
    assert ask(addresses[kind], {"input_data": TEXTS}) == (200, words)
    status, [entry] = ask(addresses[kind], {"input_data": TEXTS[:1], "params": {"top_k": 2, "return_scores": True}})
    assert status == 200
    assert entry[0]["word"] == words[0]


def test_the_servers_log_has_what_was_answered(addresses, deployments):
    assert ask(addresses["deployment"], {"input_data": TEXTS})[0] == 200
    log = deployments.log("fill-mask", "blue")
    assert "azmlinfsrv.fill_mask - serving in fp32 on cpu" in log
    assert re.search(r"azmlinfsrv\.fill_mask - answered 3 texts, \d+ tokens, in [\d.]+ ms", log)
    assert TEXTS[0] not in log


def test_json_that_is_sent_as_a_form_is_told_how_to_be_sent(addresses):
    status, answer = ask(addresses["deployment"], {"input_data": TEXTS}, "application/x-www-form-urlencoded")
    assert status == 400
    assert "send JSON with Content-Type: application/json" in answer


def test_what_azures_own_script_cannot_read_our_script_reads(addresses, words):
    frame = {"columns": ["input_string"], "index": [0], "data": [[TEXTS[1]]]}
    for data, expected in ((frame, words[1:2]), ({"input_string": TEXTS}, words), (TEXTS[0], words[:1]), ([], [])):
        assert ask(addresses["deployment"], {"input_data": data}) == (200, expected)
        status, message = ask(addresses["deployment-nocode"], {"input_data": data})
        assert status == 400
        assert "must be a list of texts here" in message


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_of_older_sample_notebooks_is_answered(kind, addresses, words):
    assert ask(addresses[kind], {"inputs": {"input_string": TEXTS}}) == (200, words)
    for inputs in ({"input_string": [1]}, {"text": TEXTS}, {}):
        assert ask(addresses[kind], {"inputs": inputs})[0] == 400


def test_many_threads_each_get_the_answer_to_their_own_question(addresses, words):
    def one(number: int) -> bool:
        index = number % len(TEXTS)
        return ask(addresses["deployment"], {"input_data": [TEXTS[index]]}) == (200, [words[index]])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(120)))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_sent_is_answered_with_words_or_a_sentence(kind, addresses, words):
    for body, content_type in hostile_requests.bodies():
        status, answer = ask(addresses[kind], body, content_type)
        assert 200 <= status < 300 or 400 <= status < 500, (body[:200], content_type, answer)
        assert "Traceback" not in str(answer)
        assert status < 300 or "message" in str(answer), (body[:200], answer)
    assert ask(addresses[kind], {"input_data": TEXTS}) == (200, words)


def test_slow_clients_and_dropped_connections_keep_nobody_waiting(addresses, words):
    address = addresses["deployment"]
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(hostile_requests.send_slowly, address, seconds=2) for _ in range(4)]
        for _ in range(50):
            hostile_requests.drop_midway(address)
        start = time.monotonic()
        assert ask(address, {"input_data": TEXTS}) == (200, words)
        assert time.monotonic() - start < 1.5
        assert {one.result() for one in slow} == {b"HTTP/1.1 200 OK"}
