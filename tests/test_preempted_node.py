"""A distillation that is cancelled in the workspace and submitted again by the unmodified `MLClient`: same student."""

import json
import sys
from pathlib import Path

import pytest

from running_workspace import run_in, running_workspace
from small_models import TEXTS, save, small_bert, small_sequences

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import json, os, sys, time
from pathlib import Path
import mlflow
from azure.ai.ml import Input, MLClient, Output, dsl, load_component
from azure.identity import DefaultAzureCredential

root, inputs, home, found = *map(Path, sys.argv[1:4]), {}
names = (os.environ[f"AZUREML_ARM_{name}"] for name in ("SUBSCRIPTION", "RESOURCEGROUP", "WORKSPACE_NAME"))
client = MLClient(DefaultAzureCredential(), *names)
distill = load_component(root / "components" / "distill.yml")

@dsl.pipeline(default_compute="gpu-cluster")
def pipeline(place: str = ""):
    node = distill(
        sequences=Input(type="uri_folder", path=inputs / "sequences"),
        teacher=Input(type="uri_folder", path=inputs / "teacher"),
        max_train_steps=400, logging_steps=20, checkpointing_steps=10, mixed_precision="no",
        per_device_train_batch_size=2, gradient_accumulation_steps=2,
    )
    node.outputs.checkpoints = Output(type="uri_folder", path=f"azureml://datastores/workspaceblobstore/paths/{where}/")
    return {"student": node.outputs.student}

def submit():
    job = client.jobs.create_or_update(pipeline())
    return job.name

def finish(name):
    (child,) = client.jobs.list(parent_job_name=name)
    while any(client.jobs.get(job).status not in ("Completed", "Failed", "Canceled") for job in (name, child.name)):
        time.sleep(0.1)
    return client.jobs.get(name).status, child.name

def curve(node):
    history = mlflow.MlflowClient().get_metric_history(node, "loss")
    return [(point.step, point.value) for point in history]

where = "whole"
name = submit()
found["whole"], node = finish(name)
found["whole_curve"] = curve(node)
client.jobs.download(name, download_path="whole", output_name="student")

where = "cancelled"
name = submit()
deadline = time.monotonic() + 60
while not list(home.rglob("cancelled/step-*/checkpoint.json")) and time.monotonic() < deadline:
    time.sleep(0.01)
client.jobs.begin_cancel(name).result()
found["cancelled"], node = finish(name)
found["steps"] = sorted(path.parent.name[5:13] for path in home.rglob("cancelled/step-*/checkpoint.json"))
client.jobs.download(node, download_path="log", all=True)
found["told"] = next(Path("log").rglob("std_log_process_0.txt")).read_text()

name = submit()
found["again"], node = finish(name)
found["curve"] = curve(node)
client.jobs.download(name, download_path="again", output_name="student")
first, second = (next(Path(folder).rglob("model.safetensors")).read_bytes() for folder in ("whole", "again"))
found["same"] = first == second
Path("found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("preempted")
    small_sequences(folder / "sequences", tokenizer, TEXTS)
    save(small_bert(), tokenizer, folder / "teacher")
    with running_workspace(folder / "home") as exports:
        command = [sys.executable, "-c", SCRIPT, str(ROOT), str(folder), str(folder / "home")]
        done = run_in(exports, command, folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text())


def test_a_cancelled_node_writes_a_last_checkpoint(found: dict):
    assert (found["whole"], found["cancelled"]) == ("Completed", "Canceled")
    assert "told to stop after step" in found["told"]
    assert 0 < int(found["steps"][-1]) < 400
    assert f"told to stop after step {int(found['steps'][-1])} of 400" in found["told"]


def test_submitted_again_it_ends_with_the_same_student_and_the_whole_curve(found: dict):
    assert found["again"] == "Completed"
    assert found["same"]
    assert found["curve"] == found["whole_curve"]
    assert [step for step, _ in found["curve"]] == list(range(20, 401, 20))
