"""The page that asks an endpoint by hand, in a real browser, in front of a real server."""

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from azureml_local.identity import WRITE
from azureml_local.rest.app import create_page_app
from azureml_local.serving import DeploymentSpec
from browser import Browser, Page, find_browser
from page_measures import OVERFLOW
from page_state import PageState

pytest_plugins = ["page_fixtures"]

SCORE = """
import json
from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    pass

def run(raw):
    request = json.loads(raw)
    texts = request["input_data"]
    if not all("[MASK]" in text for text in texts):
        return AMLResponse({"error": {"message": "Text 0 has no <b>[MASK]</b>."}}, 400, json_str=True)
    if "odd" in request:
        return [[{"word": "x", "score": "0.9"}] for _ in texts]
    if "params" in request:
        return [[{"word": f"word{rank}", "score": 0.5 / rank} for rank in (1, 2, 3)] for _ in texts]
    return [" ".join(["capital"] * text.count("[MASK]")) for text in texts]
"""


@pytest.fixture(scope="module")
def endpoint(state: PageState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An endpoint with one deployment that runs and one that does not."""
    code = tmp_path_factory.mktemp("code")
    (code / "score.py").write_text(SCORE)
    workspace = state.workspace
    workspace.endpoints.put("words", {"properties": {}})
    for name, shown in (("blue", "Succeeded"), ("green", "Failed")):
        workspace.store.put("deployments", "words", name, {"properties": {"provisioningState": shown}})
    workspace.endpoints._deployments.start("words", DeploymentSpec(name="blue", code=code, scoring_script="score.py"))
    workspace.endpoints.put("words", {"properties": {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 10}}})
    yield f"/endpoints/words?{workspace.identity.sign('/endpoints/words', permissions=WRITE)}"
    workspace.endpoints.close()


@pytest.fixture
def page(browser: Browser, base: str, endpoint: str) -> Iterator[Page]:
    page = browser.open(base + endpoint, width=1400)
    page.wait("document.querySelectorAll('#deployment option').length === 3")
    yield page
    refusals = "the server responded with a status of 4"  # which the browser logs, whatever the page makes of them
    assert [words for words in page.complaints() if refusals not in words] == []
    asked = {event["request"]["url"] for event in page.events("Network.requestWillBeSent")}
    assert [url for url in asked if not url.startswith(f"{base}/endpoints/words")] == []
    page.close()


def ask(page: Page, text: str, words: int = 1, deployment: str = "") -> str:
    values = {"texts": text, "words": str(words), "deployment": deployment}
    page.run(
        f"for (const [id, value] of Object.entries({json.dumps(values)})) document.getElementById(id).value = value"
    )
    page.run("document.getElementById('answer').replaceChildren()")
    page.run("document.getElementById('question').requestSubmit()")
    page.wait("document.querySelectorAll('#answer .note, #answer .refusal').length > 0")
    return page.text("#answer")


needs_browser = pytest.mark.skipif(not find_browser(), reason="needs Chromium or Chrome")


@needs_browser
def test_words_stand_where_the_masks_were(page: Page, state: PageState):
    answer = ask(page, "Paris is the [MASK] of France.\n[MASK] and [MASK]\n\n")
    assert "Paris is the capital of France.\n\ncapital and capital" in answer
    assert page.run("document.querySelectorAll('#answer mark').length") == 3
    assert "blue answered in " in answer
    assert f"azureml-local invoke words --text TEXT --home {state.home}" in page.text("#summary")
    assert page.run("[...document.querySelectorAll('#deployments span')].map((one) => one.textContent)") == [
        "blue: Succeeded, 100 % of the traffic",
        "green: Failed, 0 % of the traffic, copies of 10 %",
    ]


@needs_browser
def test_candidates_have_bars_and_narrow_dark_pages_overflow_nowhere(page: Page):
    page.resize(400, 900)
    page.choose(dark=True)
    answer = ask(page, "The [MASK].", words=3)
    assert "The word1." in answer
    assert page.run("[...document.querySelectorAll('meter')].map((bar) => bar.value)") == [0.5, 0.25, 0.5 / 3]
    assert page.run(OVERFLOW) <= 0


@needs_browser
def test_a_refusal_is_shown_as_text_and_so_is_a_deployment_that_does_not_run(page: Page):
    assert "400: Text 0 has no <b>[MASK]</b>." in ask(page, "no mask")
    assert page.run("document.querySelectorAll('#answer b').length") == 0
    assert '404: The endpoint "words" has no running deployment "green".' in ask(page, "[MASK]", deployment="green")


@needs_browser
def test_a_request_in_json_goes_as_it_is_and_one_that_is_cut_short_is_not_sent(page: Page):
    assert "The word1." in ask(page, '{"input_data": ["The [MASK]."], "params": {}}')
    assert '"params": {}' in page.run("document.querySelector('#answer pre').textContent")
    assert "This begins as JSON and is none: " in ask(page, '{"input_data": [')
    assert "500: " in ask(page, '{"columns": [1]}')  # this script knows texts alone
    assert '[{"word":"x","score":"0.9"}]' in ask(page, '{"input_data": ["[MASK]"], "odd": 1}')


@needs_browser
def test_the_page_takes_what_becomes_of_the_deployments(page: Page, state: PageState):
    page.run("document.getElementById('deployment').value = 'green'")
    properties = {"properties": {"provisioningState": "Creating"}}
    state.workspace.store.put("deployments", "words", "red", properties)
    page.wait("document.querySelectorAll('#deployment option').length === 4")
    assert "red: Creating, 0 % of the traffic" in page.text("#deployments")
    assert page.run("document.getElementById('deployment').value") == "green"
    state.workspace.store.delete("deployments", "words", "red")


def test_the_page_opens_to_its_own_signature_only(state: PageState):
    client = TestClient(create_page_app(state.workspace), base_url="http://127.0.0.1")
    state.workspace.endpoints.put("shut", {"properties": {}})
    own = state.workspace.identity.sign("/endpoints/shut", permissions=WRITE)
    reading = state.workspace.identity.sign("/endpoints/shut")
    assert client.get(f"/endpoints/shut?{own}").status_code == 200
    assert client.get(f"/endpoints/shut/page/endpoint.js?{own}").status_code == 200
    assert client.get("/endpoints/shut").status_code == 401
    assert client.post("/endpoints/shut/score", content=b"{}").status_code == 401
    assert client.post(f"/endpoints/shut/score?{reading}", content=b"{}").status_code == 403
    assert client.post(f"/endpoints/shut/score?{own}", content=b"{}").status_code == 404
    assert client.get(f"/endpoints/other?{own}").status_code == 403
    stranger = {"Origin": "http://elsewhere"}
    assert client.post(f"/endpoints/shut/score?{own}", content=b"{}", headers=stranger).status_code == 403
