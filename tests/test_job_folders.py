"""What a job may use, and what it leaves: time, folders, outputs at places of their own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.node_bodies import writable
from azureml_local.spec import Data, Node, Output, Pipeline, Port
from small_pipelines import FOLDER, Heard, alive, component, log_of, pipeline


def test_a_job_that_takes_too_long_is_ended_and_failed(run: Callable, heard: Heard) -> None:
    whole = pipeline("too-long", {"n": "echo waiting; sleep 977.125"})
    node = replace(whole.nodes["n"], timeout=0.3)
    change = run(replace(whole, nodes={"n": node}))
    assert change.status == "Failed"
    reason = "it took longer than its limit of 0.3 s (limits.timeout) and was ended; its log ends with:\nwaiting"
    assert change.error == f'node "n" failed: {reason}'
    assert not alive("sleep 977.125")


def test_what_a_job_leaves_in_its_folders_lies_beside_its_logs(run: Callable, heard: Heard) -> None:
    run(pipeline("artifacts", {"n": "echo a > outputs/a; echo b > logs/b"}))
    folder = heard.last("artifacts-n").log_folder
    assert folder
    assert (folder / "outputs" / "a").read_text() == "a\n"
    assert (folder / "logs" / "b").read_text() == "b\n"


def test_an_output_of_that_name_is_all_that_a_job_leaves(run: Callable, heard: Heard) -> None:
    left = component("echo world > outputs/world.txt", outputs=(Port(name="artifacts", type="uri_folder"),))
    reads = component("cat ${{inputs.data}}/outputs/world.txt", Port(name="data", type="uri_folder"))
    whole = pipeline("default-artifacts", {"left": left, "reads": reads})
    node = replace(whole.nodes["reads"], inputs={"data": "${{parent.jobs.left.outputs.artifacts}}"})
    change = run(replace(whole, nodes={**whole.nodes, "reads": node}))
    assert change.status == "Completed", change.error
    assert log_of(heard.last("default-artifacts-reads")) == "world\n"


def test_an_output_with_a_place_is_kept_there_and_found_there_by_the_next_run(
    run: Callable, heard: Heard, tmp_path: Path
) -> None:
    made = component("echo $AZUREML_RUN_ID >> ${{outputs.out}}/runs", outputs=(FOLDER,))
    for name in ("place-1", "place-2"):
        whole = pipeline(name, {"n": made})
        node = replace(whole.nodes["n"], outputs={"out": Output(place=tmp_path / "kept" / "here")})
        assert run(replace(whole, nodes={"n": node})).status == "Completed"
    assert (tmp_path / "kept" / "here" / "runs").read_text() == "place-1-n\nplace-2-n\n"


def test_the_mode_of_an_input_says_whether_it_may_be_changed():
    modes = {"a": "Download", "b": "ReadOnlyMount", "c": "ReadWriteMount", "d": "rw_mount", "e": "ro_mount"}
    inputs = {name: {"uri": "x", "mode": mode} for name, mode in modes.items()} | {"g": {"uri": "x"}, "h": "7"}
    assert writable(inputs) == {"a", "c", "d"}
    assert writable(None) == set()


@pytest.mark.parametrize(
    ("name", "change"), [("add", "echo Rome >> {}/fact"), ("rm", "rm {}/fact"), ("new", "touch {}/more")]
)
def test_a_job_that_changes_its_input_fails_as_on_a_read_only_mount(
    run: Callable, heard: Heard, name: str, change: str
) -> None:
    commands = {"write": "echo Paris > ${{outputs.out}}/fact", "spoil": change.format("${{inputs.data}}")}
    run(pipeline(name, commands, {"spoil": "write"}))
    last = heard.last(f"{name}-spoil")
    assert last.status == "Failed"
    assert 'node "spoil" failed: its input "data"' in last.error
    assert "give the input `mode: rw_mount`" in last.error


def test_what_may_be_changed_may_be_changed(run: Callable, heard: Heard, tmp_path: Path) -> None:
    spoil = component("echo Rome >> ${{inputs.data}}/fact", Port(name="data", type="uri_folder"))
    compile_ = component(
        "mkdir ${{inputs.data}}/__pycache__ && touch ${{inputs.data}}/__pycache__/a.pyc", spoil.inputs["data"]
    )
    tmp_path.joinpath("fact").write_text("Paris")
    data = {"data": Data(path=tmp_path)}
    nodes = {
        "spoil": Node(name="spoil", job_name="may-spoil", component=spoil, inputs=data, writable=frozenset({"data"})),
        "compile": Node(name="compile", job_name="may-compile", component=compile_, inputs=data),
    }
    run(Pipeline(name="may", experiment_name="trials", nodes={"spoil": nodes["spoil"]}))
    run(Pipeline(name="may2", experiment_name="trials", nodes={"compile": nodes["compile"]}))
    assert [heard.last(job).status for job in ("may-spoil", "may-compile")] == ["Completed", "Completed"]
