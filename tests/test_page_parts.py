"""Parts of the page of a job in a real browser: trials, and what a narrow screen shows."""

import pytest

from azureml_local.spec import Sweep
from azureml_local.trials import BEST, SCORE, VALUES, sweep_properties
from browser import Open, find_browser
from page_measures import HOSTILE, OVERFLOW
from page_state import PageState

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
