"""The page of a job in a real browser."""

import json
import re
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from browser import Browser, Open, find_browser
from colours import contrast
from page_measures import HOSTILE, OVERFLOW, OVERLAPS, READY, box, state_of
from page_state import PageState, link, opened, put_many, put_quickstart, served

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.skipif(not find_browser(), reason="needs Chromium or Chrome")


def test_every_node_is_drawn_with_its_state_and_no_line_runs_through_a_box(state: PageState, show: Open):
    jobs = put_quickstart(state, "drawn")
    state.run("drawn", "Running", 90)
    state.run(jobs["preprocess"], "Completed", 90, 80, reused={"job": "other", "root": "other"})
    state.run(jobs["pretrain"], "Completed", 80, 60)
    state.run(jobs["distill"], "Running", 59)
    state.log(jobs["distill"], "step 1\rstep 2/500 | loss 4.8")
    state.run(jobs["teacher_mnli"], "Failed", 50, 40, error="node failed; its log ends with:\nKeyError: 'mnli'")
    state.put(jobs["teacher_qqp"], status="Queued")
    page = show("drawn")
    expected = {"preprocess": "Reused", "pretrain": "Completed", "distill": "Running", "teacher_mnli": "Failed",
                "teacher_qqp": "Queued"}  # fmt: skip
    assert {name: state_of(page, job) for name, job in jobs.items()} == {
        name: expected.get(name, "NotStarted") for name in jobs
    }
    assert page.run(OVERLAPS) == [27, 0, 0]
    assert page.run("document.querySelectorAll('.row').length") == 27
    assert page.text(".counts").split("\n")[-1] == "of 27 nodes"
    assert "1 failed" in page.text(".counts")
    assert "KeyError: 'mnli'" in page.text("#failures")
    assert "step 2/500 | loss 4.8" in page.text("#running")
    label = page.run(f"document.querySelector(\"{box(jobs['distill'])}\").getAttribute('aria-label')")
    assert label == "distill, running, reads from preprocess, pretrain"


def test_the_page_follows_the_job_and_rests_when_it_has_ended(state: PageState, show: Open):
    jobs = put_quickstart(state, "followed")
    page = show("followed")
    assert "waiting" in page.text("#summary")
    assert f"azureml-local cancel followed --home {state.home}" in page.text("#summary")
    kept = f'document.querySelector("{box(jobs["preprocess"])}")'
    page.run(f"window.kept = {kept}")
    state.run("followed", "Running", 2)
    state.run(jobs["preprocess"], "Running", 1)
    page.wait(f"{kept}.dataset.state === 'Running'")
    assert page.run(f"window.kept === {kept}")  # changed, not made anew
    for job in jobs.values():
        state.run(job, "Completed", 1, 0)
    state.run("followed", "Completed", 2, 0)
    page.wait("document.title === 'completed · quickstart'")
    page.wait("document.querySelectorAll('.box[data-state=Completed]').length === 27")
    page.wait("!document.querySelector('#summary').innerText.includes('cancel')")
    asked, deadline = -1, time.monotonic() + 20
    while (now := len(page.events("Network.requestWillBeSent"))) != asked:
        assert time.monotonic() < deadline, "the page goes on asking"
        asked = now
        time.sleep(1.2)  # a page that follows a job asks about once a second


def test_a_selected_node_shows_its_parameters_curve_log_and_outputs(state: PageState, show: Open):
    jobs = put_quickstart(state, "selected")
    job = jobs["distill"]
    state.run("selected", "Running", 9)
    state.run(job, "Running", 8)
    state.params(job, temperature="2.0")
    state.metrics(job, "loss", [(0, 5.0), (10, 3.0), (20, 2.5)])
    state.metrics(job, "final_accuracy", [(20, 0.75)])
    state.log(job, "".join(f"line {number}\n" for number in range(200)))
    state.output(job, "student", {"config.json": "{}", "deep/model.bin": "12345"})
    page = show("selected")
    page.click(box(job))
    page.wait("document.querySelector('.curve')?.getAttribute('d')?.startsWith('M0.00 4.00L50.00 ')")
    assert page.run("location.hash") == f"#node={job}"
    for text in ("temperature\t2.0", "max_train_steps\t500", "python -m bert_distillation.distill", "line 199"):
        page.wait(f"document.querySelector('#details').innerText.includes({json.dumps(text)})")
    assert page.text(".chart .value") == "2.5"
    assert re.sub(r"\s+", " ", page.text(".finals")) == "final_accuracy 0.75"
    state.metrics(job, "loss", [(30, 2.25)])
    page.wait("document.querySelector('.chart .value').textContent === '2.25'")
    page.click(".output summary")
    page.wait("document.querySelector('.files')?.innerText.includes('config.json')")
    page.click(".files details summary")
    page.wait("document.querySelector('#details').innerText.includes('model.bin')")
    page.call("Page.reload")
    page.wait("document.querySelector('#details h2')?.textContent === 'distill'")


def test_what_is_selected_and_scrolled_in_a_log_stays_while_it_grows(state: PageState, show: Open):
    state.put("growing")
    state.run("growing", "Running", 5)
    state.log("growing", "".join(f"line {number}\n" for number in range(100)) + "10%\r\x1b[32m20%\x1b[0m")
    page = show("growing")
    page.wait("document.querySelector('.log').textContent.endsWith('line 99\\n20%')")
    end = "(log => log.scrollHeight - log.scrollTop - log.clientHeight)(document.querySelector('.log'))"
    assert page.run(end) < 3
    page.run("document.querySelector('.log').scrollTop = 100")
    page.wait("!document.querySelector('.logs input').checked")
    page.run("(text => getSelection().setBaseAndExtent(text, 5, text, 20))(document.querySelector('.log').firstChild)")
    chosen = page.run("getSelection().toString()")
    state.log("growing", "\r30%\nlast\n")
    page.wait("document.querySelector('.log').textContent.endsWith('line 99\\n30%\\nlast\\n')")
    assert page.run("getSelection().toString()") == chosen != ""
    assert page.run("document.querySelector('.log').scrollTop") == 100
    page.click(".logs input")
    assert page.run(end) < 3


def test_of_a_big_log_only_the_end_is_loaded(state: PageState, show: Open):
    state.put("talkative")
    state.run("talkative", "Completed", 5, 1)
    state.log("talkative", "".join(f"line {number} {'x' * 90}\n" for number in range(10_000)))
    page = show("talkative")
    page.wait("document.querySelector('.log').textContent.includes('line 9999')")
    assert page.run("document.querySelector('.log').textContent.length") <= 64 * 1024
    assert page.text(".logs .note").startswith("The last 6")
    address = page.run("document.querySelector('.logs a').href")
    assert "/nodes/talkative/logs/user_logs/std_log.txt?" in address


def test_what_a_job_writes_never_runs(state: PageState, show: Open):
    state.put(
        "hostile",
        type="Pipeline",
        displayName=HOSTILE,
        description=HOSTILE,
        experiment=HOSTILE,
        tags={HOSTILE: HOSTILE},
    )
    state.run("hostile", "Running", 5)
    state.put("hostile-node", "hostile", node=HOSTILE, given={HOSTILE: HOSTILE}, command=HOSTILE, environment=HOSTILE)
    state.run("hostile-node", "Failed", 5, 1, error=f"{HOSTILE}\n{HOSTILE}", reused={"job": HOSTILE, "root": HOSTILE})
    state.params("hostile-node", **{HOSTILE: HOSTILE})
    state.metrics("hostile-node", HOSTILE, [(0, 1.0), (1, 2.0)])
    state.log("hostile-node", f"{HOSTILE}\n")
    state.output("hostile-node", "page", {"<b>.html": HOSTILE})
    page = show("hostile", "hostile-node")
    page.wait("document.querySelector('.log')?.textContent.includes('onerror')")
    page.click(".output summary")
    page.wait("document.querySelector('.files')?.innerText.includes('<b>.html')")
    assert page.text("#details").count("<script>") >= 7
    assert page.run("document.title") == f"running · {HOSTILE}"
    assert page.run("document.querySelectorAll('img, script:not([type]), b').length") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_any_width_and_its_words_can_be_read(state: PageState, show: Open, dark: bool):
    root = f"fitting-{dark}"
    jobs = put_quickstart(state, root)
    state.run(root, "Running", 90)
    state.run(jobs["distill"], "Failed", 59, 1, error="ValueError: " + "x" * 500)
    state.metrics(jobs["distill"], "a_metric_with_a_long_name/" + "y" * 80, [(0, 1e-9), (1000, 123456.789)])
    state.log(jobs["distill"], "z" * 1000)
    page = show(root, jobs["distill"], dark=dark)
    page.wait("document.querySelector('.curve') !== null")
    for width in (1920, 1440, 1100, 768, 360):
        page.resize(width, 900)
        assert page.run(OVERFLOW) <= 0, width
    page.resize(1280, 900)  # a graph that nearly goes in is shown whole
    page.wait("document.querySelector('.view').scrollWidth <= document.querySelector('.view').clientWidth")
    colours = "(name => getComputedStyle(document.documentElement).getPropertyValue(name).trim())"
    for ground in ("--card", "--page", "--sunk", "--hover"):
        for ink in ("--ink", "--soft", "--accent", "--Completed", "--Failed", "--Running", "--Canceled", "--Reused"):
            ratio = contrast(page.run(f"{colours}('{ink}')"), page.run(f"{colours}('{ground}')"))
            assert ratio >= 4.5, (ink, ground, ratio)


def test_nodes_are_reached_with_the_keyboard(state: PageState, show: Open):
    jobs = put_quickstart(state, "keyboard")
    state.run("keyboard", "Running", 9)
    page = show("keyboard")
    focused = "document.activeElement.dataset.job"
    for _ in range(8):
        page.press("Tab")
        if page.run(focused):
            break
    assert page.run(focused) == jobs["preprocess"]
    page.press("ArrowRight")
    assert page.run(focused) == jobs["pretrain"]
    page.run("document.activeElement.click()")
    page.wait("document.querySelector('#details h2').textContent === 'pretrain'")
    page.press("Tab")
    assert page.run("document.activeElement.classList.contains('row')")


def test_groups_open_and_close_and_sweeps_with_many_trials_wait_to_be_opened(state: PageState, show: Open):
    state.put("nested", type="Pipeline")
    state.put("before", "nested")
    state.put("group", "nested", type="Pipeline", needs=["before"])
    state.put("inner", "group", node="group.inner", needs=["before"], warnings=["There is no GPU here."])
    state.put("sweep", "nested", type="Sweep", needs=["before"])
    for number in range(20):
        state.put(f"trial-{number}", "sweep", node=f"trial_{number}")
    state.put("after", "nested", needs=["inner", "sweep"])
    page = show("nested", "inner")
    assert "There is no GPU here." in page.text("#details")
    assert page.text(f"{box('inner')} .name") == "inner"
    count = "document.querySelectorAll('.box').length"
    assert page.run(count) == 5  # two nodes, the group with its one, the sweep closed
    assert page.run("document.querySelectorAll('.edges path').length") == 4
    page.click(".sheet [aria-label='Open sweep']")
    assert page.run(count) == 25
    assert page.run(OVERLAPS)[1:] == [0, 0]
    page.click(".sheet [aria-label='Close group']")
    assert page.run(count) == 24
    assert "0 of 20 nodes" in page.text("#graph")


def test_two_hundred_nodes_are_shown_at_once(state: PageState, show: Open):
    put_many(state, "many", 200)
    state.run("many", "Running", 9)
    before = time.monotonic()
    page = show("many")
    page.wait("document.querySelectorAll('.box').length === 200")
    assert time.monotonic() - before < 5
    assert page.run(OVERLAPS) == [200, 0, 0]


def test_the_list_leads_to_each_job(browser: Browser, state: PageState, base: str):
    for name in ("listed", "listed-later"):
        state.workspace.store.put("jobs", name, "", {"properties": {}})
        state.put(name, displayName=f"{name} {HOSTILE}")
    state.run("listed", "Completed", 5, 1)
    page = browser.open(f"{base}/jobs?{state.workspace.identity.sign('/jobs')}", width=360)
    page.wait("document.querySelectorAll('.job').length === 2")
    assert page.run("[...document.querySelectorAll('.word')].map((word) => word.innerText)") == ["waiting", "completed"]
    assert page.run(OVERFLOW) <= 0
    page.click("li:last-child .job")
    page.wait(READY)
    assert page.run("location.pathname") == "/jobs/listed"
    assert page.complaints() == []
    page.close()


def test_a_job_that_stands_alone_has_no_graph(state: PageState, show: Open):
    state.put("alone", displayName="one command", command="echo hello; exit 3")
    state.run("alone", "Failed", 9, 1, error='node "alone" failed; its log ends with:\nhello')
    page = show("alone")
    page.wait("document.querySelector('.command').innerText.includes('exit 3')")
    assert page.run("document.querySelector('#graph').hidden && document.querySelector('#timeline').hidden")
    assert "hello" in page.text("#details .failure")


def test_a_workspace_that_is_silent_is_said_to_be_so_until_it_answers_again(browser: Browser, tmp_path: Path):
    with opened(tmp_path / "home") as state:
        state.put("job")
        state.run("job", "Running", 5)
        with served(state) as base:
            page = browser.open(link(state, base, "job"))
            page.wait(READY)
            assert page.text("#connection") == ""
        page.wait("document.querySelector('#connection').innerText.includes('no longer answers')")
        assert "running" in page.text("#summary")
        state.run("job", "Completed", 5, 1)
        with served(state, port=int(base.rpartition(":")[2])):
            page.wait("document.title.startsWith('completed')")
            page.wait("document.querySelector('#connection').innerText === ''")
        page.close()


def test_a_workspace_that_fails_is_said_to_fail_and_where_it_says_why(browser: Browser, tmp_path: Path):
    with opened(tmp_path / "home") as state:
        state.put("job")
        with served(state) as base:
            page = browser.open(link(state, base, "job"))
            page.wait(READY)
            with patch("azureml_local.rest.job_data.JobView.state", side_effect=RuntimeError("a mistake")):
                page.wait("document.querySelector('#connection').innerText !== ''")
                said = page.text("#connection")
            assert said.startswith("The workspace refused with 500; its workspace.log says why. This is ")
            page.wait("document.querySelector('#connection').innerText === ''")
            page.close()
