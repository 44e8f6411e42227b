"""Parts of the page of a job in a real browser: trials, and what a narrow screen shows."""

import re

import pytest

from azureml_local.spec import Sweep
from azureml_local.trials import BEST, SCORE, VALUES, sweep_properties
from browser import Open, find_browser
from page_measures import HOSTILE, OVERFLOW, box
from page_state import PageState, put_quickstart

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.skipif(not find_browser(), reason="needs Chromium or Chrome")


def test_a_sweep_lists_its_trials_the_best_first(state: PageState, show: Open):
    aim = sweep_properties(Sweep(search_space={}, sampling="grid", seed=None, primary_metric="loss", maximize=False,
                                 max_trials=3, max_concurrent=1))  # fmt: skip
    state.put("tune", type="Sweep", properties={**aim, BEST: "tune_2"})
    for number, score in enumerate(("0.5", "0.25", ""), 1):
        values = {VALUES: f'{{"rate": "0.{number}23456789", "kind": "{HOSTILE[:4]}"}}'}
        state.put(f"tune_{number}", "tune", node=f"tune.{number}", tags=values, properties={SCORE: score})
        state.run(f"tune_{number}", "Completed" if score else "Failed", 5, 1)
    page = show("tune", width=390)
    page.wait("document.querySelectorAll('.trials tbody tr').length === 3")
    rows = page.run("[...document.querySelectorAll('.trials tr')].map((row) => row.innerText.replace(/\\s+/g, ' '))")
    assert rows == ["trial loss values", "2 best 0.25 rate 0.2235 kind <img", "1 0.5 rate 0.1235 kind <img",
                    "3 failed rate 0.3235 kind <img"]  # fmt: skip
    assert page.run(OVERFLOW) <= 0
    page.click(".trials a")
    page.wait("document.querySelector('#details h2').textContent === '2'")


def test_a_log_that_is_followed_stays_at_its_end_when_its_lines_are_wrapped_anew(state: PageState, show: Open):
    state.put("wrapped")
    state.run("wrapped", "Running", 5)
    state.log("wrapped", "".join(f"step {number} of 300 | loss 4.812 | 38.2k tokens/s\n" for number in range(300)))
    page = show("wrapped", width=390)
    page.wait("document.querySelector('.log').textContent.includes('step 299')")
    end = "(log => log.scrollHeight - log.scrollTop - log.clientHeight < 3)(document.querySelector('.log'))"
    for width in (390, 250, 390):
        page.resize(width, 844)
        page.wait(end)
        assert page.run("document.querySelector('.logs input').checked")
    page.run("document.querySelector('.log').scrollTop = 100")
    page.wait("!document.querySelector('.logs input').checked")
    page.resize(250, 844)
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert not page.run(end)


@pytest.mark.parametrize("node", ["report", "student_wnli"])
def test_the_selected_node_is_in_sight_on_a_narrow_screen(state: PageState, show: Open, node: str):
    root = f"narrow-{node}"
    jobs = put_quickstart(state, root)
    state.run(root, "Running", 5)
    inside = f"""(([box, view]) => box.left >= view.left && box.right <= view.right && box.top >= view.top
        && box.bottom <= view.bottom)(["{box(jobs[node])}", ".view"].map((one) =>
        document.querySelector(one).getBoundingClientRect()))"""
    page = show(root, jobs[node], width=390)
    for width in (390, 1300, 390):
        page.resize(width, 844)
        page.wait(inside)


def test_times_are_said_as_the_logs_say_them(state: PageState, show: Open):
    state.put("timed", status="Completed", start_time="2026-01-02T15:04:05+00:00", end_time="2026-01-02T17:04:06+02:00")
    page = show("timed")
    assert "started 2026-01-02 15:04:05Z · ended 2026-01-02 15:04:06Z" in page.text("#summary")


def test_minutes_on_the_axis_of_times_are_whole(state: PageState, show: Open):
    put_quickstart(state, "minutes")
    state.run("minutes", "Running", 84)
    page = show("minutes", width=1900)
    page.wait("document.body.innerText.includes('1:10')")
    assert re.search(r"\d\.\d+ min", page.text("body")) is None


def test_a_line_that_is_written_over_for_hours_is_not_kept_from_its_beginning(state: PageState, show: Open):
    state.put("turning")
    state.run("turning", "Running", 5)
    state.log("turning", "".join(f"{number}%\r" for number in range(5_000)) + "\r" * 30_000 + "here")
    page = show("turning")
    page.wait("document.querySelector('.log').textContent === 'here'")
    state.log("turning", "\rthere\r")
    page.wait("document.querySelector('.log').textContent === 'there'")
    state.log("turning", "\x1b[?")  # a code that comes in two pieces
    page.wait("document.querySelector('.logs a').textContent.includes('KiB')")
    state.log("turning", "25h\x1b[0m")
    state.log("turning", "\n")
    page.wait("document.querySelector('.log').textContent === 'there\\n'")
