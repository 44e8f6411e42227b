"""Which finished jobs stand for others, by Azure's rules."""

import json
import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from azureml_local.engine.binding import plan
from azureml_local.engine.engine import Engine
from azureml_local.engine.reuse import reuse_key, stamp
from azureml_local.environments.readiness import installed
from azureml_local.spec import Component, Data, Environment, Node, Pipeline, Port
from small_pipelines import FOLDER, Heard, component, log_of

DATA = Port(name="data", type="uri_folder")


def steps() -> dict[str, Component]:
    """A chain of two nodes, and one beside it."""
    copy = component("cat ${{inputs.data}}/* | tee ${{outputs.out}}/copy", DATA, outputs=(FOLDER,))
    return {
        "first": replace(copy, digest="first"),
        "second": replace(copy, digest="second"),
        "beside": replace(component("echo beside", outputs=(FOLDER,)), digest="beside"),
    }


def pipeline(name: str, data: Path, made: dict[str, Component] | None = None) -> Pipeline:
    inputs = {"first": {"data": Data(path=data)}, "second": {"data": "${{parent.jobs.first.outputs.out}}"}}
    nodes = {
        node: Node(name=node, job_name=f"{name}-{node}", component=one, inputs=dict(inputs.get(node, {})))
        for node, one in (made or steps()).items()
    }
    return Pipeline(name=name, experiment_name="trials", nodes=nodes)


def test_another_environment_and_other_versions_of_its_packages_are_told_apart(tmp_path: Path):
    [task] = plan(pipeline("keys", tmp_path, {"beside": steps()["beside"]}), tmp_path).tasks.values()
    found = [["python==3.11.4", "torch==2.1"], ["python==3.11.4", "torch==2.2"], ["python==3.12.1", "torch==2.1"], None]
    assert reuse_key(task, found[0]) == reuse_key(task, list(found[0] or []))
    assert len({reuse_key(task, packages) for packages in found}) == 4


def test_of_the_workspaces_packages_those_count_that_an_environment_asks_for():
    conda = {"dependencies": ["python=3.11", {"pip": ["httpx>=0.1", "not-installed-here==1", "-r nowhere.txt"]}]}
    found = installed(Environment(name="mine:1", conda=json.dumps(conda)))
    assert found == [f"httpx=={metadata.version('httpx')}", f"python=={platform.python_version()}"]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('runs')}/mlflow.db"


@pytest.fixture
def engine(tmp_path: Path, heard: Heard, runs: str) -> Iterator[Engine]:
    engine = Engine(tmp_path / "home", heard, runs)
    yield engine
    engine.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fact").write_text("Paris\n")
    return tmp_path / "data"


@pytest.fixture
def reused(engine: Engine, heard: Heard, request: pytest.FixtureRequest) -> Callable[[Pipeline], set[str]]:
    """Runs a pipeline; tells which of its nodes were reused. Jobs are told apart by the test, for runs are shared."""

    def run(asked: Pipeline) -> set[str]:
        own = re.sub(r"\W", "-", f"{request.node.name}-{asked.name}")
        nodes = {key: replace(node, job_name=f"{own}-{key}") for key, node in asked.nodes.items()}
        engine.submit(replace(asked, name=own, nodes=nodes))
        change = heard.wait(own)
        assert change.status == "Completed", change.error
        return {key for key in nodes if heard.last(f"{own}-{key}").reused}

    return run


def test_an_equal_pipeline_is_reused_as_a_whole(reused: Callable, data: Path, heard: Heard) -> None:
    assert reused(pipeline("one", data)) == set()
    assert reused(pipeline("two", data)) == {"first", "second", "beside"}
    change = next(change for change in reversed(heard._changes) if change.name.endswith("two-second"))
    assert str(change.reused).endswith("one-second")
    assert str(change.reused_root).endswith("one")
    assert change.outputs["out"].is_symlink()
    assert (change.outputs["out"] / "copy").read_text() == "Paris\n"
    assert log_of(change) == "Paris\n"


def test_what_was_reused_is_reused_again_from_the_job_that_ran(reused: Callable, data: Path, heard: Heard) -> None:
    for name in ("one", "two", "three"):
        reused(pipeline(name, data))
    change = next(change for change in reversed(heard._changes) if change.name.endswith("three-second"))
    assert str(change.reused).endswith("one-second")


def test_other_data_run_again_what_reads_them_and_what_depends_on_it(reused: Callable, data: Path) -> None:
    reused(pipeline("one", data))
    (data / "fact").write_text("Lyon!\n")
    assert reused(pipeline("two", data)) == {"beside"}


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "one line of its code"},
        {"environment": Environment(name="other:1")},
    ],
)
def test_another_component_runs_again_with_what_depends_on_it(reused: Callable, data: Path, change: dict) -> None:
    reused(pipeline("one", data))
    made = steps()
    assert reused(pipeline("two", data, made | {"first": replace(made["first"], **change)})) == {"beside"}
    assert reused(pipeline("three", data, made | {"second": replace(made["second"], **change)})) == {"first", "beside"}


def test_a_component_that_is_not_deterministic_runs_again(reused: Callable, data: Path) -> None:
    made = steps()
    made["beside"] = replace(made["beside"], is_deterministic=False)
    reused(pipeline("one", data, made))
    assert reused(pipeline("two", data, made)) == {"first", "second"}


def test_nothing_is_reused_in_a_forced_rerun_nor_kept_from_it(reused: Callable, data: Path) -> None:
    reused(pipeline("one", data))
    assert reused(replace(pipeline("two", data), force_rerun=True)) == set()


def test_outputs_that_were_changed_or_removed_since_do_not_stand_for_others(
    reused: Callable, data: Path, heard: Heard
) -> None:
    reused(pipeline("one", data))
    change = next(change for change in reversed(heard._changes) if change.name.endswith("one-first"))
    copy = change.outputs["out"] / "copy"
    os.utime(copy, ns=(1, 1))
    assert reused(pipeline("two", data)) == {"beside"}


def test_a_job_that_failed_is_run_again(engine: Engine, heard: Heard, tmp_path: Path) -> None:
    once = f"[ -e {tmp_path}/second-time ] || {{ touch {tmp_path}/second-time; exit 1; }}"
    made = {"n": replace(component(once), digest="once")}
    for name, status in (("fails", "Failed"), ("runs", "Completed")):
        engine.submit(pipeline(name, tmp_path, made))
        assert heard.wait(name).status == status


def test_data_behind_links_are_data(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "rows.csv").write_text("1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "far")
    (tmp_path / "data" / "file").symlink_to(tmp_path / "far" / "rows.csv")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data")
    before = stamp(tmp_path / "data")
    assert stamp(tmp_path / "data") == before
    (tmp_path / "far" / "more.csv").touch()
    more = stamp(tmp_path / "data")
    assert more != before
    (tmp_path / "data" / "folder").unlink()
    alone = stamp(tmp_path / "data")
    (tmp_path / "far" / "rows.csv").write_text("1, 2")
    assert stamp(tmp_path / "data") != alone


def test_metrics_come_with_a_reused_job(reused: Callable, data: Path, runs: str, heard: Heard) -> None:
    import mlflow

    made = {"n": replace(component("python -c 'import mlflow; mlflow.log_metric(\"loss\", 0.5)'"), digest="logs")}
    reused(pipeline("one", data, made))
    assert reused(pipeline("two", data, made)) == {"n"}
    job = next(change.name for change in reversed(heard._changes) if change.name.endswith("two-n"))
    run = mlflow.MlflowClient(runs).get_run(job)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 0.5})


def test_a_job_whose_empty_output_was_removed_is_run_again(reused: Callable, data: Path, heard: Heard) -> None:
    made = {"n": replace(component("true", outputs=(FOLDER,)), digest="empty")}
    reused(pipeline("one", data, made))
    change = next(change for change in reversed(heard._changes) if change.name.endswith("one-n"))
    change.outputs["out"].rmdir()
    assert reused(pipeline("two", data, made)) == set()


def test_names_of_files_need_not_be_text(reused: Callable, data: Path) -> None:
    made = {"n": replace(component("touch ${{outputs.out}}/$'\\xff'", outputs=(FOLDER,)), digest="bytes")}
    reused(pipeline("one", data, made))
    assert reused(pipeline("two", data, made)) == {"n"}


def test_many_parameters_come_with_a_reused_job(reused: Callable, data: Path) -> None:
    logs = "import mlflow; mlflow.log_params({f'p{i}': i for i in range(150)})"
    made = {"n": replace(component(f'python -c "{logs}"'), digest="many")}
    reused(pipeline("one", data, made))
    assert reused(pipeline("two", data, made)) == {"n"}


def test_a_job_whose_run_was_removed_from_mlflow_is_run_again(
    reused: Callable, data: Path, runs: str, heard: Heard, tmp_path: Path
) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    reused(pipeline("one", data))
    change = next(change for change in reversed(heard._changes) if change.name.endswith("one-second"))
    SqlAlchemyStore(runs, str(tmp_path))._hard_delete_run(change.name)  # as `mlflow gc` does
    assert reused(pipeline("two", data)) == {"first", "beside"}
    assert reused(pipeline("three", data)) == {"first", "second", "beside"}
