"""The page of results against the numbers beside it."""

import json
import sys

import mlflow
import pytest
import results

from bert_distillation.comparison import VARIANTS
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


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An MLflow store with a job that trained all models and measured some."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("ablation")
    for place, variant in enumerate(VARIANTS):
        with mlflow.start_run(run_name=variant, tags={"mlflow.rootRunId": "a_job"}):
            mlflow.log_params({"max_train_steps": 2, "seed": 0, "num_layers": 3})
            for step in (1, 2):
                mlflow.log_metrics({"loss": 9.0 - step, "tokens_per_second": 100.0 * step}, step=step)
            mlflow.log_metric("held_out_mlm_loss", 3.0 + place)
    with mlflow.start_run(run_name="measure_teacher", tags={"mlflow.rootRunId": "a_job"}) as graph:
        own = {"mlflow.rootRunId": "a_job", "mlflow.parentRunId": graph.info.run_id}
    for name, metrics in {"mrpc": {"accuracy": 0.6, "mean_of_f1_and_accuracy": 0.7}, "rte": {}}.items():
        with mlflow.start_run(run_name=name, tags=own):
            mlflow.log_metrics(metrics)
    yield
    mlflow.set_tracking_uri(None)


def run_results(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["results.py", *map(str, options)])
    results.main()


def test_a_job_that_was_stopped_gives_what_it_has(store, content, tmp_path, monkeypatch, capsys):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({name: part for name, part in content.items() if name != "trained"}))
    with pytest.raises(SystemExit):
        run_results(monkeypatch, "--measured", "a_job", "--json", file)
    assert "give --trained JOB first" in capsys.readouterr().err
    run_results(monkeypatch, "--trained", "a_job", "--measured", "a_job", "--json", file)
    trained = json.loads(file.read_text())["trained"]
    assert trained["glue"] == {"teacher": {"mrpc": 0.7}}
    assert trained["training"]["teacher"] == {
        "settings": {"max_train_steps": "2", "seed": "0"},
        "tokens_per_second": 200,
        "held_out_mlm_loss": 3,
        "curve": [[1, 8], [2, 7]],
    }
    lines = results.trained_table(trained).splitlines()
    assert lines[2:4] == ["| teacher | 3.000 |  | 70.0 | 70.0 |", "| all three losses | 4.000 | +1.000 |  |  |"]


def test_a_job_without_runs_is_refused(store, tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SystemExit, match="no runs of job another"):
        run_results(monkeypatch, "--trained", "another", "--json", tmp_path / "results.json")


def test_a_page_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- glue -->\n\n<!-- end -->\n")
    with pytest.raises(SystemExit, match="no mark <!-- held out -->"):
        results.write_page(page, {"glue": "|a|", "held out": "|b|"})
    assert page.read_text() == "<!-- glue -->\n\n<!-- end -->\n"
