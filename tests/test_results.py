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
    results.write_figure(figure, content)
    assert page.read_text() == (DOCS / "results.md").read_text()
    assert figure.read_text() == (DOCS / "results.svg").read_text()


@pytest.mark.parametrize("of", ["", "gpu"])
def test_every_student_saw_as_much(of, content):
    training = (content[of] if of else content)["training"]
    students = [run["settings"] for variant, run in training.items() if variant != "teacher"]
    assert len(students) == 7
    assert all(settings == students[0] for settings in students)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An MLflow store with a job of each pipeline."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("ablation")
    for job, names in {"a_job": VARIANTS, "another_job": ("pretrain", "distill"), "unmeasured": VARIANTS}.items():
        for place, name in enumerate(names):
            with mlflow.start_run(run_name=name, tags={"mlflow.rootRunId": job}):
                mlflow.log_params({"max_train_steps": 2, "per_device_train_batch_size": 8, "seed": 0, "num_layers": 3})
                for step in (1, 2):
                    mlflow.log_metrics({"loss": 9.0 - step, "tokens_per_second": 1000.0 * step}, step=step)
                mlflow.log_metric("held_out_mlm_loss", 3.0 + place)
    with mlflow.start_run(run_name="measure_teacher", tags={"mlflow.rootRunId": "a_job"}) as graph:
        own = {"mlflow.rootRunId": "a_job", "mlflow.parentRunId": graph.info.run_id}
    with mlflow.start_run(run_name="mrpc", tags=own):
        mlflow.log_params({"max_train_samples": 800, "num_layers": 3})
    compared = {f"{variant}_mrpc": 0.7 - place / 10 for place, variant in enumerate(("teacher", "all_losses"))}
    with mlflow.start_run(run_name="compare", tags={"mlflow.rootRunId": "a_job"}):
        mlflow.log_metrics(compared)
    yield
    mlflow.set_tracking_uri(None)


def run_results(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["results.py", *map(str, options)])
    results.main()


def test_what_ran_on_a_gpu_is_added_to_what_is_there(store, content, tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content))
    run_results(monkeypatch, "--gpu", "a_job", "--from_scratch", "another_job", "--seeds", 1, "--json", file)
    written = json.loads(file.read_text())
    assert written | {name: content[name] for name in ("gpu", "from_scratch")} == content
    assert written["gpu"]["metrics"] == {"teacher_mrpc": 0.7, "all_losses_mrpc": 0.6}
    assert written["gpu"]["finetuning"]["teacher"] == {"max_train_samples": "800"}
    assert written["gpu"]["training"]["teacher"] == {
        "settings": {"max_train_steps": "2", "per_device_train_batch_size": "8", "seed": "0"},
        "tokens_per_second": 2000,
        "held_out_mlm_loss": 3,
        "curve": [[1, 8], [2, 7]],
    }
    tables = results.tables_of(written)
    assert tables["glue on a GPU"].splitlines()[2:] == [
        "| teacher | 70.0 | 70.0 | 100.0% |",
        "| all three losses | 60.0 | 60.0 | 85.7% |",
    ]
    assert tables["held out on a GPU"].splitlines()[2].startswith("| teacher | 3.000 |")
    assert tables["from scratch"].splitlines()[2:] == [
        "| `pretrain` | 2 of 8 rows | 2,000 | 3.000 |",
        "| `distill` | 2 of 8 rows | 2,000 | 4.000 |",
    ]


def test_how_a_teacher_and_its_student_were_trained_is_told_with_their_size(store, content):
    own = results.read_from_scratch("another_job")["training"]["pretrain"]["settings"]
    assert own == {"max_train_steps": "2", "per_device_train_batch_size": "8", "seed": "0", "num_layers": "3"}
    base = content["from_scratch"]["training"]["pretrain"]["settings"]
    assert (base["num_layers"], base["hidden_size"], base["torch_compile"]) == ("12", "768", "False")


def test_the_first_job_leaves_what_ran_on_a_gpu(store, content, tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"gpu": content["gpu"]}))
    run_results(monkeypatch, "--job", "a_job", "--json", file)
    written = json.loads(file.read_text())
    assert (written["job"], written["again"], written["gpu"]) == ("a_job", [], content["gpu"])


@pytest.mark.parametrize(
    "options", [["--page", "page.md"], ["--gpu", "a_job"], ["--job", "a_job", "--json", "no.json"]]
)
def test_without_a_first_job_there_is_nothing_to_add_to(store, options, tmp_path, monkeypatch, capsys):
    (tmp_path / "results.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    if "--job" in options:
        run_results(monkeypatch, *options)
        assert json.loads((tmp_path / "no.json").read_text())["job"] == "a_job"
        return
    with pytest.raises(SystemExit):
        run_results(monkeypatch, "--json", "results.json", *options)
    assert "results.json has no first job: give --job JOB" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"No such file"):
        run_results(monkeypatch, "--json", "no.json", *options)


@pytest.mark.parametrize(
    ("job", "message"), [("no_job", "no runs of job no_job"), ("unmeasured", "no run `compare` with metrics")]
)
def test_a_job_without_what_is_asked_for_is_refused(store, job, message, tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SystemExit, match=message):
        run_results(monkeypatch, "--job", job, "--json", tmp_path / "results.json")
    assert (tmp_path / "results.json").read_text() == "{}"


def test_a_page_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- glue -->\n\n<!-- end -->\n")
    with pytest.raises(SystemExit, match="no mark <!-- held out -->"):
        results.write_page(page, {"glue": "|a|", "held out": "|b|"})
    assert page.read_text() == "<!-- glue -->\n\n<!-- end -->\n"
