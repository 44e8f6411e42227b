"""The report in a real browser."""

from pathlib import Path

import pytest

from browser import Browser, find_browser
from page_measures import OVERFLOW
from small_results import everything, make_report

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.skipif(not find_browser(), reason="needs Chromium or Chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    make_report(folder / "report", **everything(folder))
    return folder / "report" / "report.html"


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_report_asks_nobody_for_anything_and_fits_the_window(
    browser: Browser, report: Path, width: int, dark: bool
):
    page = browser.open(report.as_uri(), width=width, dark=dark)
    assert page.wait("document.readyState === 'complete' && document.querySelectorAll('svg').length") == 7
    assert page.complaints() == []
    asked = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert asked == [report.as_uri()]
    assert page.run(OVERFLOW) == 0
    ink, paper = (page.run(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert (sum(map(int, ink[4:-1].split(", "))) > sum(map(int, paper[4:-1].split(", ")))) is dark
    page.close()
