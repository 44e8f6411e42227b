"""The unmodified `MLClient` and `DefaultAzureCredential()`, set up by environment variables only."""

import json
import sys

import pytest

from local_project import write_project
from running_workspace import run_in, running_workspace

# What a user's own script or notebook does: nothing in it knows of the local workspace.
SCRIPT = """
import json, os, sys, tempfile
from pathlib import Path
import mlflow
from azure.ai.ml import MLClient, load_job, load_online_deployment, load_online_endpoint
from azure.ai.ml.entities import Model
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential

project, found = Path(sys.argv[1]), {}
client = MLClient(
    DefaultAzureCredential(),
    os.environ["AZUREML_ARM_SUBSCRIPTION"],
    os.environ["AZUREML_ARM_RESOURCEGROUP"],
    os.environ["AZUREML_ARM_WORKSPACE_NAME"],
)
found["workspace"] = client.workspaces.get("local").name
job = client.jobs.create_or_update(load_job(project / "pipeline.yml", params_override=[{"inputs.text": "hi"}]))
client.jobs.stream(job.name)
job = client.jobs.get(job.name)
found["status"] = job.status
found["listed"] = job.name in [listed.name for listed in client.jobs.list()]
children = {child.display_name: child for child in client.jobs.list(parent_job_name=job.name)}
found["children"] = {name: client.jobs.get(child.name).status for name, child in children.items()}
client.jobs.download(job.name, download_path="output", output_name="model")
client.jobs.download(children["greet"].name, download_path="everything", all=True)
found["output"] = Path("output/named-outputs/model/greeting.txt").read_text()
found["note"] = Path("output/named-outputs/model/note.txt").read_text().strip()
found["everything"] = sorted(str(file) for file in Path("everything").rglob("*.txt"))
found["run"] = mlflow.get_run(job.name).info.status
found["metric"] = mlflow.get_run(children["greet"].name).data.metrics["times"]
found["same_store"] = client.workspaces.get("local").mlflow_tracking_uri == mlflow.get_tracking_uri()

client.jobs.archive(job.name)
found["archived"] = job.name not in [listed.name for listed in client.jobs.list()]
try:
    client.jobs.create_or_update(load_job(project / "pipeline.yml", params_override=[{"jobs.greet.inputs.times": "x"}]))
except HttpResponseError as error:
    found["refusal"] = [error.status_code, error.error.message]

output = f"azureml://jobs/{job.name}/outputs/model"
run = f"runs:/{children['greet'].name}/user_logs"
found["from_run"] = client.models.create_or_update(Model(name="logs", path=run, type="custom_model")).path
for path in (output, f"{output}/paths/", "output/named-outputs/model"):
    model = client.models.create_or_update(Model(name="greetings", path=path, type="custom_model"))
found["versions"] = sorted(model.version for model in client.models.list("greetings"))
found["latest"] = client.models.get("greetings", label="latest").version
client.models.download("greetings", "1", download_path="models")
found["model"] = [file.read_text() for file in Path("models").rglob("greeting.txt")]

client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint/endpoint.yml")).result()
deployment = load_online_deployment(project / "endpoint/deployment.yml")
deployment = client.online_deployments.begin_create_or_update(deployment).result()
found["deployment"] = deployment.provisioning_state
endpoint = client.online_endpoints.get("greeter")
endpoint.traffic = {"blue": 100}
client.online_endpoints.begin_create_or_update(endpoint).result()
Path("request.json").write_text(json.dumps({"input_data": ["you", "me"]}))
found["traffic"] = client.online_endpoints.get("greeter").traffic
invoke = client.online_endpoints.invoke
found["answer"] = json.loads(invoke("greeter", request_file="request.json"))
found["named"] = json.loads(invoke("greeter", request_file="request.json", deployment_name="blue"))
found["log"] = client.online_deployments.get_logs("blue", "greeter", lines=500)
first = client.online_endpoints.get_keys("greeter").primary_key
client.online_endpoints.begin_regenerate_keys("greeter", key_type="primary").result()
found["renewed"] = first != client.online_endpoints.get_keys("greeter").primary_key
client.online_endpoints.begin_delete("greeter").result()
found["endpoints"] = [left.name for left in client.online_endpoints.list()]
Path("found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    """What the script printed, and what it found, in a workspace that the command line started."""
    folder = tmp_path_factory.mktemp("mlclient")
    (folder / "script.py").write_text(SCRIPT)
    script = [sys.executable, "-W", "ignore", str(folder / "script.py"), str(write_project(folder))]
    with running_workspace(folder / "home") as exports:
        done = run_in(exports, script, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads((folder / "found.json").read_text())


@pytest.fixture
def stream(session: tuple[str, dict]) -> str:
    return session[0]


@pytest.fixture
def found(session: tuple[str, dict]) -> dict:
    return session[1]


def test_a_pipeline_completes_and_is_listed_with_its_children(found: dict):
    assert found["workspace"] == "local"
    assert found["status"] == "Completed"
    assert found["children"] == {"greet": "Completed", "pack": "Completed"}
    assert found["listed"]
    assert found["archived"]


def test_the_stream_shows_the_logs_of_all_processes(stream: str):
    assert "[greet] rank 0 of 2 says hi" in stream
    assert "[greet] rank 1 of 2 says hi" in stream
    assert "[pack] packed" in stream
    assert "Execution Summary" in stream


def test_outputs_are_downloaded_by_name_and_all_together(found: dict):
    assert found["output"] == "hihihi"
    assert found["note"] == "remember"
    assert "everything/named-outputs/greeting/greeting.txt" in found["everything"]
    assert any("user_logs/std_log" in file for file in found["everything"])


def test_the_mlflow_run_is_called_as_the_job(found: dict):
    assert found["run"] == "FINISHED"
    assert found["metric"] == 3
    assert found["same_store"]


def test_a_job_that_cannot_run_is_refused_with_node_and_field(found: dict):
    status, message = found["refusal"]
    assert status == 400
    assert 'jobs.greet.inputs.times: node "greet" takes an integer as "times", got "x"' in message


def test_a_model_is_registered_from_the_output_of_a_job_and_from_a_folder(found: dict):
    assert found["versions"] == ["1", "2", "3"]
    assert found["latest"] == "3"
    assert found["model"] == ["hihihi"]
    assert found["from_run"].endswith("/user_logs/")


def test_the_model_is_deployed_and_answers(found: dict):
    assert found["deployment"] == "Succeeded"
    assert found["traffic"] == {"blue": 100}
    assert "score.py" in found["log"]
    assert found["answer"] == found["named"] == ["hihihi you", "hihihi me"]


def test_keys_are_renewed_and_an_endpoint_is_deleted(found: dict):
    assert found["renewed"]
    assert found["endpoints"] == []
