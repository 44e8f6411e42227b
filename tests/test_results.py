"""The page of results against the numbers beside it."""

import json

import pytest
import results

from conftest import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def content() -> dict:
    return json.loads((DOCS / "results.json").read_text())


def test_the_page_and_the_figure_are_what_the_script_makes_of_the_numbers(content, tmp_path):
    page, figure = tmp_path / "results.md", tmp_path / "results.svg"
    page.write_text((DOCS / "results.md").read_text())
    results.write_page(page, results.tables_of(content))
    results.write_figure(figure, content["training"])
    assert page.read_text() == (DOCS / "results.md").read_text()
    assert figure.read_text() == (DOCS / "results.svg").read_text()


@pytest.mark.parametrize("of", ["", "trained"])
def test_every_student_saw_as_much(of, content):
    training = (content[of] if of else content)["training"]
    students = [run["settings"] for variant, run in training.items() if variant != "teacher"]
    assert len(students) == 7
    assert all(settings == students[0] for settings in students)


def test_a_page_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- glue -->\n\n<!-- end -->\n")
    with pytest.raises(SystemExit, match="no mark <!-- held out -->"):
        results.write_page(page, {"glue": "|a|", "held out": "|b|"})
    assert page.read_text() == "<!-- glue -->\n\n<!-- end -->\n"
