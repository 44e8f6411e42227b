"""A browser, a workspace without an engine, and a way to open the page of a job in it."""

from collections.abc import Iterator

import pytest

from browser import Browser, Open, Page
from page_measures import READY
from page_state import PageState, link, opened, served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageState]:
    with opened(tmp_path_factory.mktemp("page") / "home") as state:
        yield state


@pytest.fixture(scope="module")
def base(state: PageState) -> Iterator[str]:
    with served(state) as base:
        yield base


@pytest.fixture
def show(browser: Browser, state: PageState, base: str) -> Iterator[Open]:
    """Opens the page of a job. In the end nothing may have gone wrong in it, nor may it have asked anybody else."""
    pages = []

    def show(job: str, node: str = "", **how) -> Page:
        page = browser.open(link(state, base, job) + (f"#node={node}" if node else ""), **how)
        pages.append(page)
        page.wait(READY)
        return page

    yield show
    for page in pages:
        assert page.complaints() == []
        asked = {event["request"]["url"] for event in page.events("Network.requestWillBeSent")}
        assert [url for url in asked if not url.startswith(f"{base}/jobs/")] == []
        page.close()
