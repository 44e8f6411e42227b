"""What a sweep tries, and what becomes of its trials."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.arm_ids import resource_id
from azureml_local.engine.engine import Engine, JobChange
from azureml_local.engine.sweeps import best_trial, trial_values, unlike_azure
from azureml_local.settings import Settings
from azureml_local.spec import Node, Output, Pipeline, Port, SpecError, Sweep
from azureml_local.trials import Trials, trials_of
from small_pipelines import FOLDER, Heard, component, log_of, pipeline
from test_rest import client_of, open_workspace, wait_for

NUMBER = Port(name="x", type="number")
GRID = Sweep(
    search_space={"x": ("choice", ("3", "1", "2"))},
    sampling="grid",
    seed=None,
    primary_metric="loss",
    maximize=False,
    max_trials=10,
    max_concurrent=10,
)
LOG = "python -c 'import mlflow; mlflow.log_metric(\"loss\", ${{inputs.x}})'"


def random_sweep(kind: str, *parameters: str, **fields: object) -> Sweep:
    return replace(GRID, sampling="random", search_space={"x": (kind, parameters)}, max_trials=50, **fields)  # type: ignore[arg-type]


def numbers(sweep: Sweep) -> list[float]:
    return [float(values["x"]) for values in trial_values(sweep, "seed")]


def test_a_grid_tries_every_combination_up_to_the_limit() -> None:
    sweep = replace(GRID, search_space={"a": ("choice", ("1", "2")), "b": ("choice", ("x", "y"))})
    assert trial_values(sweep, "s") == [{"a": a, "b": b} for a in "12" for b in "xy"]
    assert len(trial_values(replace(sweep, max_trials=3), "s")) == 3


def test_random_values_stay_in_their_bounds() -> None:
    assert all(0.5 <= x <= 0.9 for x in numbers(random_sweep("uniform", "0.5", "0.9")))
    assert all(1 <= x <= 2.7183 for x in numbers(random_sweep("loguniform", "0", "1")))
    assert set(numbers(random_sweep("quniform", "0", "2", "0.5"))) <= {0, 0.5, 1, 1.5, 2}
    whole = [values["x"] for values in trial_values(random_sweep("quniform", "1", "9", "2"), seed="s")]
    assert set(whole) <= {"2", "4", "6", "8", "10", "0"}, "an integer input takes them"
    assert set(numbers(random_sweep("randint", "3"))) == {0, 1, 2}
    assert abs(sum(numbers(random_sweep("normal", "5", "0.1"))) / 50 - 5) < 0.1


def test_the_same_sweep_tries_the_same_values_and_another_seed_others() -> None:
    sweep = random_sweep("uniform", "0", "1")
    assert numbers(sweep) == numbers(sweep)
    assert numbers(replace(sweep, seed=1)) != numbers(replace(sweep, seed=2))
    assert len(set(numbers(sweep))) == 50


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (random_sweep("uniform", "0"), r'search_space, "x": cannot sample "uniform" with \(0\)'),
        (random_sweep("triangle", "0", "1"), 'cannot sample "triangle"'),
        (random_sweep("quniform", "0", "1", "0"), 'cannot sample "quniform"'),
        (replace(GRID, search_space={"x": ("uniform", ("0", "1"))}), "a grid needs choices"),
        (replace(GRID, sampling="sobol"), '"sobol" is not spoken here; there are bayesian, grid, random'),
    ],
)
def test_a_search_space_that_cannot_be_sampled_is_named(sweep: Sweep, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        trial_values(sweep, "seed")


def test_what_a_sweep_does_otherwise_than_on_azure_is_said() -> None:
    sweep = random_sweep("uniform", "0", "1")
    bayesian = replace(sweep, sampling="bayesian", ends_early=True)
    assert trial_values(bayesian, "seed") == trial_values(sweep, "seed")
    assert unlike_azure(sweep) == unlike_azure(GRID) == ()
    assert [text.split()[1] for text in unlike_azure(bayesian)] == ["bayesian", "early_termination"]


def test_the_best_trial_has_the_smallest_or_the_largest_metric() -> None:
    metrics = {"a": 2.0, "b": None, "c": 1.0, "d": float("nan"), "e": 1.0}
    assert best_trial(metrics, maximize=False) == "c"
    assert best_trial(metrics, maximize=True) == "a"
    assert best_trial({"b": None}, maximize=True) is None


@pytest.fixture
def run(engine: Engine, heard: Heard) -> Callable[..., JobChange]:
    def run(name: str, command: str, sweep: Sweep, **after: Node) -> JobChange:
        made = component(command, NUMBER, outputs=(FOLDER,))
        node = Node(name="sweep", job_name=f"{name}-sweep", component=made, sweep=sweep)
        engine.submit(Pipeline(name=name, experiment_name="trials", nodes={"sweep": node, **after}))
        return heard.wait(name)

    return run


def test_a_sweep_warns_of_what_it_does_otherwise_than_on_azure(run: Callable, heard: Heard) -> None:
    change = run("warned", LOG, replace(GRID, sampling="bayesian"))
    assert change.status == "Completed", change.error
    assert heard.last("warned-sweep").warnings == unlike_azure(replace(GRID, sampling="bayesian"))


def test_the_next_node_reads_what_the_best_trial_wrote(run: Callable, heard: Heard) -> None:
    reads = component(
        "cat ${{inputs.data}}/x > ${{outputs.out}}/best", Port(name="data", type="uri_folder"), outputs=(FOLDER,)
    )
    after = Node(
        name="after", job_name="best-after", component=reads, inputs={"data": "${{parent.jobs.sweep.outputs.out}}"}
    )
    change = run("best", f"echo ${{{{inputs.x}}}} > ${{{{outputs.out}}}}/x; {LOG}", GRID, after=after)
    assert change.status == "Completed", change.error
    assert heard.last("best-after").outputs["out"].joinpath("best").read_text() == "1\n"
    trials = [heard.last(f"best-sweep_{number}") for number in (1, 2, 3)]
    assert [trial.parent for trial in trials] == ["best-sweep"] * 3
    assert heard.last("best-sweep").outputs["out"].resolve() == trials[1].outputs["out"].resolve()


def test_a_trial_that_fails_does_not_fail_the_sweep(run: Callable, heard: Heard) -> None:
    change = run("one-fails", f"[ ${{{{inputs.x}}}} != 1 ] && {LOG}", GRID)
    assert change.status == "Completed", change.error
    assert [heard.last(f"one-fails-sweep_{number}").status for number in (1, 2, 3)] == [
        "Completed",
        "Failed",
        "Completed",
    ]


def test_a_sweep_without_the_metric_fails_and_says_so(run: Callable) -> None:
    change = run("no-metric", "true", GRID)
    assert change.status == "Failed"
    assert change.error == 'node "sweep" failed: none of its 3 trials logged the metric "loss" and completed'


def test_never_more_trials_run_together_than_allowed(run: Callable, tmp_path: Path) -> None:
    alone = f"mkdir {tmp_path}/here || exit 9; sleep 0.1; rmdir {tmp_path}/here; {LOG}"
    assert run("alone", alone, replace(GRID, max_concurrent=1)).status == "Completed"


def test_trials_that_wait_for_their_turn_take_no_cores(
    run: Callable, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("azureml_local.engine.shop.cores", lambda: 6)
    run("threads", f"echo $OMP_NUM_THREADS; {LOG}", replace(GRID, max_concurrent=1))
    assert [log_of(heard.last(f"threads-sweep_{number}")).splitlines()[0] for number in (1, 2, 3)] == ["6"] * 3


def test_a_sweep_that_is_cancelled_is_cancelled_although_a_trial_has_completed(
    run: Callable, engine: Engine, heard: Heard
) -> None:
    trial = f"{LOG}; [ ${{{{inputs.x}}}} != 1 ] || sleep 300"
    with ThreadPoolExecutor() as pool:
        end = pool.submit(run, "stopped", trial, replace(GRID, max_concurrent=1))
        heard.wait("stopped-sweep_1", {"Completed"})
        heard.wait("stopped-sweep_2", {"Running"})
        engine.cancel("stopped")
        assert end.result().status == "Canceled"
    sweep = heard.last("stopped-sweep")
    assert (sweep.status, sweep.outputs) == ("Canceled", {})
    assert sweep.error == 'node "sweep" was ended: the job was cancelled'


def test_a_sweep_that_stands_alone_is_cancelled_while_it_waits(tmp_path: Path) -> None:
    heard = Heard()
    engine = Engine(tmp_path, heard, f"sqlite:///{tmp_path}/mlflow.db", Settings(max_parallel=1))
    try:
        engine.submit(pipeline("first", {"one": "sleep 300"}))
        heard.wait("first-one", {"Running"})
        alone = Node(name="alone", job_name="alone", component=component(LOG, NUMBER), sweep=GRID)
        engine.submit(Pipeline(name="alone", experiment_name="trials", nodes={"alone": alone}))
        engine.cancel("alone")
        assert heard.wait("alone").status == "Canceled"
    finally:
        engine.close()


def test_a_sweep_whose_trials_never_ran_has_not_failed(engine: Engine, heard: Heard) -> None:
    before = Node(name="before", job_name="unread-before", component=component("exit 3", outputs=(FOLDER,)))
    made = component(LOG, NUMBER, Port(name="data", type="uri_folder"))
    reads = {"data": "${{parent.jobs.before.outputs.out}}"}
    sweep = Node(name="sweep", job_name="unread-sweep", component=made, inputs=reads, sweep=GRID)
    engine.submit(Pipeline(name="unread", experiment_name="trials", nodes={"before": before, "sweep": sweep}))
    assert heard.wait("unread").status == "Failed"
    last = heard.last("unread-sweep")
    assert (last.status, last.error) == (
        "Canceled",
        'node "sweep" has no result: node "sweep.1" was not run: node "before" did not complete',
    )


def test_a_sweep_ends_with_its_time(run: Callable, heard: Heard) -> None:
    start = time.monotonic()
    sweep = replace(GRID, max_concurrent=1, timeout=1.0)
    assert run("late", "sleep 30", sweep).status == "Failed"
    assert time.monotonic() - start < 20
    first, second = heard.last("late-sweep_1"), heard.last("late-sweep_2")
    assert first.status == "Failed"
    assert "its limit of" in str(first.error)
    assert second.error == 'node "sweep.2" was not run: the sweep "sweep" has used up its time'


def test_a_place_keeps_what_it_held_when_the_best_trial_writes_there(
    engine: Engine, heard: Heard, tmp_path: Path
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "precious").write_text("kept")
    made = component(f"echo ${{{{inputs.x}}}} > ${{{{outputs.out}}}}/x; {LOG}", NUMBER, outputs=(FOLDER,))
    outputs = {"out": Output(place=tmp_path / "place")}
    node = Node(name="sweep", job_name="place-sweep", component=made, sweep=GRID, outputs=outputs)
    engine.submit(Pipeline(name="place", experiment_name="trials", nodes={"sweep": node}))
    assert heard.wait("place").status == "Completed"
    assert {file.name: file.read_text() for file in (tmp_path / "place").iterdir()} == {"precious": "kept", "x": "1\n"}


@pytest.mark.parametrize(("kind", "parameters"), [("randint", ("0",)), ("loguniform", ("1", "10000"))])
def test_numbers_that_do_not_exist_are_refused(kind: str, parameters: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match="search_space cannot be sampled"):
        trial_values(random_sweep(kind, *parameters), "seed")


def test_a_sweeps_run_tells_its_metric_and_those_of_its_trials_their_values_and_scores(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "local")
    client = client_of(workspace)
    trial = {"codeId": None, "command": LOG, "environmentId": "azureml:any:1"}
    space = {"x": ["choice", [["3", "1"]]]}
    sweep = {"jobType": "Sweep", "samplingAlgorithm": {"samplingAlgorithmType": "Grid"}, "searchSpace": space}
    aim = {"objective": {"primaryMetric": "loss", "goal": "Minimize"}, "experimentName": "tests", "trial": trial}
    assert client.put(resource_id("jobs", "tune"), json={"properties": {**sweep, **aim}}).status_code == 201
    wait_for(client, "tune")
    runs = [workspace.jobs.run("tune"), *workspace.jobs.children("tune")]
    told = [trials_of(run.body["tags"], run.body["properties"]) for run in runs]
    workspace.close()
    assert told[0] == Trials(metric="loss", best=runs[2].name)
    assert told[1:] == [Trials(values={"x": "3"}, score=3.0), Trials(values={"x": "1"}, score=1.0)]
