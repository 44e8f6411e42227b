"""Pipelines of tiny shell commands, run for real."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.engine.engine import Engine, JobChange
from azureml_local.engine.pipeline_run import PipelineRun
from azureml_local.engine.runs import Runs
from azureml_local.engine.shop import Slots
from azureml_local.settings import Settings
from azureml_local.spec import Data, Distribution, Node, Output, Pipeline, Port, SpecError
from small_pipelines import FINAL, FOLDER, Heard, alive, component, log_of, pipeline, until


def test_a_node_reads_what_the_one_before_it_wrote(run: Callable, heard: Heard) -> None:
    commands = {"read": "cat ${{inputs.data}}/fact", "write": "echo Paris > ${{outputs.out}}/fact"}
    assert run(pipeline("chain", commands, {"read": "write"})).status == "Completed"
    assert log_of(heard.last("chain-read")) == "Paris\n"
    written, read = heard.last("chain-write"), heard.last("chain-read")
    assert written.end_time
    assert read.start_time
    assert written.end_time <= read.start_time


def test_every_job_is_announced_and_goes_through_azures_states(run: Callable, heard: Heard) -> None:
    run(pipeline("states", {"a": "true", "b": "true"}, {"b": "a"}))
    assert heard.statuses("states") == ["NotStarted", "Preparing", "Running", "Completed"]
    assert heard.statuses("states-b") == ["NotStarted", "Queued", "Preparing", "Running", "Completed"]
    assert heard.last("states-b").parent == "states"
    log = heard.last("states").log_folder
    assert log
    assert "a is Running" in (log / "logs/azureml/executionlogs.txt").read_text()


def test_nodes_that_do_not_need_each_other_overlap(run: Callable, home: Path) -> None:
    meet = "touch {home}/{me}; until [ -e {home}/{other} ]; do sleep 0.02; done"
    commands = {
        "one": meet.format(home=home, me="one", other="two"),
        "two": meet.format(home=home, me="two", other="one"),
    }
    assert run(pipeline("meeting", commands)).status == "Completed"


def test_never_more_nodes_run_together_than_allowed(home: Path, tmp_path: Path) -> None:
    heard = Heard()
    engine = Engine(tmp_path, heard, f"sqlite:///{home}/mlflow.db", Settings(max_parallel=1))
    alone = f"mkdir {tmp_path}/here || exit 9; sleep 0.1; rmdir {tmp_path}/here"
    engine.submit(pipeline("one-by-one", {"a": alone, "b": alone, "c": alone}))
    change = heard.wait("one-by-one")
    engine.close()
    assert change.status == "Completed", change.error


def test_a_job_has_a_private_copy_of_its_code(run: Callable, heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "fact.txt").write_text("kept")
    command = "cat fact.txt; echo changed > fact.txt; touch outputs/a logs/b"
    first = component(command, code=tmp_path)
    for name in ("copy-1", "copy-2"):
        assert run(pipeline(name, {"n": first})).status == "Completed"
        assert log_of(heard.last(f"{name}-n")) == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["fact.txt"]


def test_python_is_the_interpreter_of_the_workspace(run: Callable, heard: Heard) -> None:
    run(pipeline("python", {"n": "python -c 'import sys; print(sys.prefix)'"}))
    assert log_of(heard.last("python-n")).strip() == sys.prefix


def test_a_file_output_is_a_file_and_a_folder_output_a_folder(run: Callable, heard: Heard) -> None:
    outputs = (FOLDER, Port(name="table", type="uri_file"))
    made = component("test -d ${{outputs.out}} && echo 1 > ${{outputs.table}}", outputs=outputs)
    node = Node(
        name="n", job_name="kinds-n", component=made, outputs={"table": Output(target="${{parent.outputs.table}}")}
    )
    whole = Pipeline(
        name="kinds", experiment_name="trials", nodes={"n": node}, outputs={"table": Output(type="uri_file")}
    )
    change = run(whole)
    assert change.outputs["table"].read_text() == "1\n"
    assert heard.last("kinds-n").outputs["out"].is_dir()


def test_a_job_knows_its_run_and_not_how_to_reach_the_workspace(
    run: Callable, heard: Heard, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_CLOUD_METADATA_URL", "https://127.0.0.1:1/metadata/endpoints")
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AzureLocal")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(home / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/company.pem")
    run(pipeline("variables", {"n": "env"}))
    lines = log_of(heard.last("variables-n")).splitlines()
    assert "MLFLOW_RUN_ID=variables-n" in lines
    assert "AZUREML_RUN_ID=variables-n" in lines
    assert "AZUREML_ROOT_RUN_ID=variables" in lines
    assert "MLFLOW_EXPERIMENT_NAME=trials" in lines
    assert "SSL_CERT_FILE=/etc/company.pem" in lines
    assert f"AZURE_ML_OUTPUT_out={heard.last('variables-n').outputs['out']}" in lines
    names = {line.partition("=")[0] for line in lines}
    assert not names & {
        "ARM_CLOUD_METADATA_URL",
        "AZUREML_CURRENT_CLOUD",
        "IDENTITY_HEADER",
        "REQUESTS_CA_BUNDLE",
        "RANK",
    }


def test_variables_of_the_node_win_over_those_of_the_component(run: Callable, heard: Heard) -> None:
    made = replace(
        component("echo $A $B $OMP_NUM_THREADS"), environment_variables={"A": "1", "B": "1", "OMP_NUM_THREADS": "7"}
    )
    whole = pipeline("own-variables", {"n": made})
    node = replace(whole.nodes["n"], environment_variables={"B": "2"})
    run(replace(whole, nodes={"n": node}))
    assert log_of(heard.last("own-variables-n")) == "1 2 7\n"


def test_a_variable_of_a_node_may_read_what_is_around_it(run: Callable, heard: Heard) -> None:
    made = component("echo $SEED; echo $TEXT; cat $DATA/x", outputs=(FOLDER,))
    whole = pipeline("bound-variables", {"first": "echo ready > ${{outputs.out}}/x", "n": made})
    variables = {
        "SEED": "s${{parent.inputs.seed}}",
        "TEXT": "${{inputs.x}}",
        "DATA": "${{parent.jobs.first.outputs.out}}",
    }
    nodes = {**whole.nodes, "n": replace(whole.nodes["n"], environment_variables=variables)}
    assert run(replace(whole, nodes=nodes, inputs={"seed": "7"})).status == "Completed"
    assert log_of(heard.last("bound-variables-n")) == "s7\n${{inputs.x}}\nready\n"


def test_cores_are_shared_by_the_processes_that_run_together(
    run: Callable, heard: Heard, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("azureml_local.engine.shop.cores", lambda: 6)
    show = "echo $OMP_NUM_THREADS; until [ -e {}/jobs/sharing-{}/logs/user_logs/{} ]; do sleep 0.02; done"
    a = component(show.format(home, "b", "std_log.txt"), outputs=(FOLDER,))
    b = component(show.format(home, "a", "std_log_process_0.txt"), outputs=(FOLDER,))
    two = replace(a, distribution=Distribution(process_count="2"))
    run(pipeline("sharing", {"a": two, "b": b, "alone": "echo $OMP_NUM_THREADS"}, {"alone": "a b"}))
    assert log_of(heard.last("sharing-b")) == "2\n"
    assert log_of(heard.last("sharing-a"), "std_log_process_0.txt") == "2\n"
    assert log_of(heard.last("sharing-alone")) == "6\n"


def test_a_failure_names_node_and_status_ends_the_rest_and_quotes_the_log(run: Callable, heard: Heard) -> None:
    commands = {"bad": "echo the disk is full >&2; exit 4", "long": "sleep 986.125", "after": "true"}
    change = run(replace(pipeline("failing", commands, {"after": "bad"}), continue_on_step_failure=False))
    assert change.status == "Failed"
    assert change.error == 'node "bad" failed: its command ended with status 4; its log ends with:\nthe disk is full'
    assert heard.last("failing-long").status == "Canceled"
    after = heard.last("failing-after")
    assert (after.status, after.error) == ("Canceled", 'node "after" was not run: node "bad" failed')
    assert not alive("sleep 986.125")


def test_other_branches_go_on_unless_the_pipeline_says_otherwise(run: Callable, heard: Heard) -> None:
    commands = {"bad": "exit 4", "after-bad": "true", "good": "sleep 0.2", "after-good": "true"}
    whole = pipeline("going-on", commands, {"after-bad": "bad", "after-good": "good"})
    assert run(whole).status == "Failed"
    assert heard.last("going-on-after-good").status == "Completed"
    assert heard.last("going-on-after-bad").status == "Canceled"


def test_a_pipeline_that_is_cancelled_is_so_also_where_a_node_had_failed(engine: Engine, heard: Heard) -> None:
    engine.submit(pipeline("given-up", {"bad": "exit 4", "long": "sleep 985.375"}))
    heard.wait("given-up-bad")
    heard.wait("given-up-long", {"Running"})
    engine.cancel("given-up")
    last = heard.wait("given-up")
    assert (last.status, last.error) == ("Canceled", "the job was cancelled")
    assert heard.last("given-up-bad").status == "Failed"


def test_cancel_leaves_no_process_even_one_that_will_not_listen(
    engine: Engine, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azureml_local.guardian.GRACE_SECONDS", 0.5)
    commands = {"n": "trap '' TERM; (trap '' TERM; sleep 985.125) & sleep 985.125; sleep 985.125", "after": "true"}
    engine.submit(pipeline("cancelled", commands, {"after": "n"}))
    heard.wait("cancelled-n", {"Running"})
    until(lambda: alive("sleep 985.125"))
    engine.cancel("cancelled")
    assert heard.wait("cancelled").status == "Canceled"
    assert "CancelRequested" in heard.statuses("cancelled")
    assert [heard.last(f"cancelled-{node}").status for node in ("n", "after")] == ["Canceled", "Canceled"]
    assert not alive("sleep 985.125")


def test_a_process_left_behind_by_a_command_is_ended_with_it(run: Callable) -> None:
    assert run(pipeline("left-behind", {"n": "sleep 984.125 & exit 0"})).status == "Completed"
    assert not alive("sleep 984.125")


def test_a_stand_alone_job_is_one_job(run: Callable, heard: Heard) -> None:
    node = Node(name="alone", job_name="alone", component=component("echo here"))
    change = run(Pipeline(name="alone", experiment_name="trials", nodes={"alone": node}))
    assert (change.status, change.parent) == ("Completed", None)
    assert heard.statuses("alone") == ["NotStarted", "Queued", "Preparing", "Running", "Completed"]
    assert log_of(change) == "here\n"


def test_a_pipeline_that_cannot_run_is_refused_at_once_and_not_announced(engine: Engine, heard: Heard) -> None:
    with pytest.raises(SpecError, match='node "n"'):
        engine.submit(pipeline("refused", {"n": "cat ${{inputs.nothing}}"}))
    missing = component("cat ${{inputs.data}}", Port(name="data", type="uri_folder"))
    node = Node(name="n", job_name="refused-n", component=missing, inputs={"data": Data(path=Path("/nowhere"))})
    with pytest.raises(SpecError, match='node "n", input "data": there is nothing at /nowhere'):
        engine.submit(Pipeline(name="refused", experiment_name="trials", nodes={"n": node}))
    assert heard.statuses("refused") == []


def test_runs_carry_the_jobs_names_and_end_as_they_did(run: Callable, home: Path) -> None:
    import mlflow

    log = "python -c 'import mlflow; mlflow.log_metric(\"loss\", 0.5)'"
    run(pipeline("tracked", {"logs": log, "fails": "sleep 0.1; exit 1"}, {"fails": "logs"}))
    client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
    runs = {name: client.get_run(name) for name in ("tracked", "tracked-logs", "tracked-fails")}
    assert [run.info.status for run in runs.values()] == ["FAILED", "FINISHED", "FAILED"]
    assert runs["tracked-logs"].data.metrics == {"loss": 0.5}
    assert runs["tracked-logs"].data.tags["mlflow.parentRunId"] == "tracked"


def test_a_listener_that_fails_does_not_stop_the_pipeline(home: Path, tmp_path: Path) -> None:
    class Deaf(Heard):
        def job_changed(self, change: JobChange) -> None:
            super().job_changed(change)
            raise RuntimeError("not now")

    heard = Deaf()
    engine = Engine(tmp_path, heard, f"sqlite:///{home}/mlflow.db")
    engine.submit(pipeline("deaf", {"n": "true"}))
    status = heard.wait("deaf").status
    engine.close()
    assert status == "Completed"


def test_closing_ends_what_runs(home: Path, tmp_path: Path) -> None:
    heard = Heard()
    engine = Engine(tmp_path, heard, f"sqlite:///{home}/mlflow.db")
    engine.submit(pipeline("closing", {"n": "sleep 983.125"}))
    heard.wait("closing-n", {"Running"})
    engine.close()
    assert heard.last("closing").status == "Canceled"
    assert not alive("sleep 983.125")


def test_closing_waits_until_the_database_of_the_runs_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Runs] = []

    def prepare(runs: Runs) -> None:
        time.sleep(0.2)
        prepared.append(runs)

    monkeypatch.setattr(Runs, "prepare", prepare)
    Engine(tmp_path, Heard(), f"sqlite:///{tmp_path}/mlflow.db").close()
    assert len(prepared) == 1


@pytest.mark.parametrize("mistake", [(Slots, "claim"), (Runs, "create"), (PipelineRun, "_next_finished")])
@pytest.mark.parametrize("commands", [{"alone": "sleep 0.1"}, {"a": "sleep 0.1", "b": "true", "c": "true"}])
def test_a_mistake_of_the_workspace_itself_leaves_no_job_without_its_end(
    mistake: tuple[type, str], commands: dict[str, str], run: Callable, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **named: object) -> None:
        raise RuntimeError("no space")

    monkeypatch.setattr(*mistake, fail)
    name = f"given-up-{mistake[1]}-{len(commands)}"
    tried = pipeline(name, commands, {"c": "b"} if "c" in commands else {})
    if "alone" in commands:
        node = replace(tried.nodes["alone"], name=name, job_name=name)
        tried = replace(tried, nodes={name: node})
    last = run(tried)
    assert last.status in ("Failed", "Canceled")  # cancelled where its own command ran when this happened
    assert "the local workspace failed: RuntimeError('no space')" in str(last.error)
    assert all(heard.last(node.job_name).status in FINAL for node in tried.nodes.values())
