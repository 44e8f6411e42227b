"""What a job may use, and what it leaves: time, folders, outputs at places of their own."""

import errno
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.job_view import log_names
from azureml_local.node_bodies import writable
from azureml_local.spec import Data, Distribution, Graph, Node, Output, Pipeline, Port
from azureml_local.store import Resource
from small_pipelines import FOLDER, Heard, alive, component, log_of, pipeline

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow import MlflowClient


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


@pytest.mark.parametrize(
    ("name", "line"), [("kept", "true"), ("anew", "rm -rf outputs && mkdir outputs"), ("fails", "trap 'exit 3' EXIT")]
)
def test_mlflow_lists_and_downloads_what_a_job_leaves_in_its_folders(
    run: Callable, heard: Heard, home: Path, tmp_path: Path, name: str, line: str
) -> None:
    whole = f"{line}; mkdir outputs/sub && echo a > outputs/sub/a; echo b > logs/b; ls -d outputs logs"
    run(pipeline(f"mlflow-{name}", {"n": whole}))
    client, job = MlflowClient(f"sqlite:///{home}/mlflow.db"), f"mlflow-{name}-n"
    assert [file.path for file in client.list_artifacts(job, "outputs/sub")] == ["outputs/sub/a"]
    assert Path(client.download_artifacts(job, "logs/b", str(tmp_path))).read_text() == "b\n"
    assert (home / "jobs" / job / "work" / "outputs" / "sub" / "a").read_text() == "a\n", "a link is left there"
    assert "outputs/sub/a" not in log_names(
        Resource("runs", job, "", {"log_folder": heard.last(job).log_folder}, "", "")
    )


def test_a_folder_with_a_link_out_of_it_stays_where_the_link_leads_to_its_file(run: Callable, heard: Heard) -> None:
    run(pipeline("leads-out", {"n": "echo a > a; ln -s ../a outputs/a; echo b > logs/b; ln -s b logs/c"}))
    folder = heard.last("leads-out-n").log_folder
    assert (folder / "outputs" / "a").read_text() == "a\n"
    assert not (folder / "logs").is_symlink()


def test_a_disk_that_takes_no_link_decides_nothing_of_how_a_job_ends(
    run: Callable, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(place: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(place))

    whole = pipeline("no-link", {"n": "echo a > outputs/a"})
    monkeypatch.setattr("azureml_local.engine.commands._leads_out", lambda folder: full(folder, folder))
    assert run(whole).status == "Completed"
    folder = heard.last("no-link-n").log_folder
    assert folder
    assert (folder / "outputs" / "a").read_text() == "a\n"


def test_a_job_whose_folder_is_prepared_again_finds_what_it_has_left(run: Callable, home: Path) -> None:
    folder = home / "jobs" / "twice-n"
    for place in (folder / "logs" / "outputs", folder / "work"):
        place.mkdir(parents=True)
    (folder / "work" / "outputs").symlink_to(folder / "logs" / "outputs")
    (folder / "logs" / "outputs" / "a").write_text("first\n")
    assert run(pipeline("twice", {"n": "echo again >> outputs/a"})).status == "Completed"
    assert (folder / "logs" / "outputs" / "a").read_text() == "first\nagain\n"


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


def test_a_file_where_an_output_should_be_a_folder_is_named(run: Callable, heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    whole = pipeline("taken", {"n": component("true", outputs=(FOLDER,))})
    node = replace(whole.nodes["n"], outputs={"out": Output(place=tmp_path / "taken")})
    assert run(replace(whole, nodes={"n": node})).status == "Failed"
    sentence = f'its output "out" is a folder, and there is a file at {tmp_path / "taken"}; give another path'
    assert heard.last("taken-n").error == f'node "n" failed: {sentence}'
    assert (tmp_path / "taken").read_text() == "mine"


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


def test_what_the_pipeline_says_of_its_input_holds_for_its_nodes(run: Callable, heard: Heard, tmp_path: Path) -> None:
    tmp_path.joinpath("fact").write_text("Paris")
    spoil = component("echo Rome >> ${{inputs.data}}/fact", Port(name="data", type="uri_folder"))
    for name, writable_inputs, status in (("loose", {"data"}, "Completed"), ("strict", set(), "Failed")):
        node = Node(name="n", job_name=f"{name}-n", component=spoil, inputs={"data": "${{parent.inputs.data}}"})
        graph = Graph(name="g", version="1", inputs=spoil.inputs, nodes={"n": node})
        outer = Node(name="g", job_name=f"{name}-g", component=graph, inputs={"data": "${{parent.inputs.data}}"})
        inputs = {"data": Data(path=tmp_path)}
        run(
            Pipeline(
                name=name,
                experiment_name="trials",
                inputs=inputs,
                writable=frozenset(writable_inputs),
                nodes={"g": outer},
            )
        )
        assert heard.last(f"{name}-n").status == status


@pytest.mark.parametrize(("job", "name"), [("a", "my data"), ("b", "run(1)"), ("c", "a & b"), ("d", "it's $HOME")])
def test_a_name_that_means_something_to_a_shell_does_not_reach_it(
    run: Callable, heard: Heard, tmp_path: Path, job: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "fact.v1.txt").write_text("Paris\n")
    ports = (Port(name="folder", type="uri_folder"), Port(name="file", type="uri_file"))
    made = component(
        "cat ${{inputs.folder}}/* ${{inputs.file}} > ${{outputs.out}}/copy; echo ${{inputs.file}}",
        *ports,
        outputs=(FOLDER,),
    )
    given = {"folder": Data(path=tmp_path / name), "file": Data(path=tmp_path / name / "fact.v1.txt")}
    place = Output(place=tmp_path / "kept" / name)
    node = Node(name="n", job_name=f"spoken-{job}-n", component=made, inputs=given, outputs={"out": place})
    change = run(Pipeline(name=f"spoken-{job}", experiment_name="trials", nodes={"n": node}))
    assert change.status == "Completed", change.error
    assert (tmp_path / "kept" / name / "copy").read_text() == "Paris\nParis\n"
    assert log_of(heard.last(f"spoken-{job}-n")).endswith("/inputs/file.txt\n"), "libraries read a file by its suffix"


@pytest.mark.parametrize("name", ["outputs", "logs"])
def test_code_with_a_file_in_the_place_of_a_jobs_folder_is_named(
    run: Callable, heard: Heard, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    run(pipeline(f"file-{name}", {"n": component("true", code=tmp_path)}))
    sentence = f'its code has a file "{name}", and every job has a folder of that name; rename the file'
    assert heard.last(f"file-{name}-n").error == f'node "n" failed: {sentence}'


def test_a_job_that_asks_for_several_machines_is_warned_that_it_runs_on_one(run: Callable, heard: Heard) -> None:
    whole = pipeline("machines", {"n": component("true")})
    node = replace(whole.nodes["n"], instance_count=2, distribution=Distribution(process_count="2"))
    assert run(replace(whole, nodes={"n": node})).status == "Completed"
    (warning,) = [text for text in heard.last("machines-n").warnings if "machines" in text]
    assert warning == ("it asks for 2 machines (instance_count) and runs on this one alone: 2 processes in place of 4")
