"""Online endpoints and their deployments, from the first to the last call."""

import json
import time

from azure.ai.ml import load_online_deployment
from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from operations.environments import IMAGE
from operations.table import Session, operation, raises

SCORE = """
import json
import os
from pathlib import Path

def init():
    global greeting
    greeting = next(Path(os.environ["AZUREML_MODEL_DIR"]).glob("*/greeting.txt")).read_text()
    print("ready to greet", flush=True)

def run(data):
    print("greeted", *json.loads(data)["input_data"], flush=True)
    return [greeting + " " + text + os.environ.get("MARK", "") for text in json.loads(data)["input_data"]]
"""
YAML = """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: {endpoint}
model: azureml:{model}:1
code_configuration: {{code: score, scoring_script: score.py}}
environment: {{image: "{image}"}}
instance_type: Standard_DS3_v2
instance_count: 1
"""


@operation("online_endpoints.begin_create_or_update")
def create(session: Session) -> None:
    endpoint = ManagedOnlineEndpoint(name=session.name("greeter"), auth_mode="key", tags={"team": "tests"})
    created = session.client.online_endpoints.begin_create_or_update(endpoint).result()
    assert (created.name, created.provisioning_state) == (session.name("greeter"), "Succeeded")
    assert created.scoring_uri.startswith("https://127.0.0.1:")


@operation("online_endpoints.get")
def get(session: Session) -> None:
    endpoint = session.client.online_endpoints.get(session.name("greeter"))
    assert (endpoint.auth_mode, endpoint.tags, endpoint.traffic) == ("key", {"team": "tests"}, {})


@operation("online_endpoints.get of one that is not there")
def get_missing(session: Session) -> None:
    raises(ResourceNotFoundError, lambda: session.client.online_endpoints.get(session.name("nobody")))


@operation("online_endpoints.list")
def list_endpoints(session: Session) -> None:
    assert session.name("greeter") in [endpoint.name for endpoint in session.client.online_endpoints.list()]


@operation("online_deployments.begin_create_or_update, from YAML")
def deploy(session: Session) -> None:
    session.write("endpoint/score/score.py", SCORE)
    text = YAML.format(endpoint=session.name("greeter"), model=session.name("model"), image=IMAGE)
    deployment = load_online_deployment(session.write("endpoint/deployment.yml", text))
    created = session.client.online_deployments.begin_create_or_update(deployment).result()
    assert (created.name, created.provisioning_state) == ("blue", "Succeeded")


@operation("online_deployments.begin_create_or_update of another")
def deploy_another(session: Session) -> None:
    deployment = load_online_deployment(session.folder / "endpoint/deployment.yml")
    deployment.name, deployment.environment_variables = "green", {"MARK": "!"}
    deployment.tags = {"colour": "green"}
    session.client.online_deployments.begin_create_or_update(deployment).result()
    found = session.client.online_deployments.get("green", session.name("greeter"))
    assert (found.environment_variables["MARK"], found.tags) == ("!", {"colour": "green"})


@operation("online_deployments.begin_create_or_update of a script that fails")
def deploy_failing(session: Session) -> None:
    session.write("endpoint/broken/score.py", "raise RuntimeError('no such luck')\n")
    deployment = load_online_deployment(session.folder / "endpoint/deployment.yml")
    deployment.name, deployment.code_configuration.code = "broken", str(session.folder / "endpoint/broken")
    error = raises(
        HttpResponseError, lambda: session.client.online_deployments.begin_create_or_update(deployment).result()
    )
    assert "no such luck" in str(error)
    session.client.online_deployments.begin_delete("broken", session.name("greeter")).wait()


@operation("online_deployments.get")
def get_deployment(session: Session) -> None:
    deployment = session.client.online_deployments.get("blue", session.name("greeter"))
    assert isinstance(deployment, ManagedOnlineDeployment)
    assert (deployment.instance_count, deployment.code_configuration.scoring_script) == (1, "score.py")


@operation("online_deployments.list")
def list_deployments(session: Session) -> None:
    deployments = session.client.online_deployments.list(session.name("greeter"))
    assert sorted(deployment.name for deployment in deployments) == ["blue", "green"]


@operation("online_deployments.get_logs")
def get_logs(session: Session) -> None:
    logs = session.client.online_deployments.get_logs("blue", session.name("greeter"), lines=500)
    assert "ready to greet" in logs


@operation("online_endpoints.begin_create_or_update of the traffic")
def route(session: Session) -> None:
    endpoint = session.client.online_endpoints.get(session.name("greeter"))
    endpoint.traffic = {"blue": 100, "green": 0}
    session.client.online_endpoints.begin_create_or_update(endpoint).result()
    assert session.client.online_endpoints.get(endpoint.name).traffic == {"blue": 100, "green": 0}


@operation("online_endpoints.begin_create_or_update of traffic to nobody is refused")
def route_to_nobody(session: Session) -> None:
    endpoint = session.client.online_endpoints.get(session.name("greeter"))
    endpoint.traffic = {"red": 100}
    error = raises(HttpResponseError, lambda: session.client.online_endpoints.begin_create_or_update(endpoint).result())
    assert '"red"' in str(error)


@operation("online_endpoints.begin_create_or_update of mirrored traffic")
def mirror(session: Session) -> None:
    endpoint = session.client.online_endpoints.get(session.name("greeter"))
    endpoint.mirror_traffic = {"green": 50}
    session.client.online_endpoints.begin_create_or_update(endpoint).result()
    assert session.client.online_endpoints.get(endpoint.name).mirror_traffic == {"green": 50}
    request = session.write("copied.json", json.dumps({"input_data": ["a copy"]}))
    for _ in range(20):  # one of them is copied, but for one run in a million
        answer = session.client.online_endpoints.invoke(endpoint.name, request_file=str(request))
        assert json.loads(answer) == ["hello a copy"]
    until = time.monotonic() + 10
    while "greeted a copy" not in session.client.online_deployments.get_logs("green", endpoint.name, lines=500):
        assert time.monotonic() < until
    endpoint.mirror_traffic = {"green": 0}
    session.client.online_endpoints.begin_create_or_update(endpoint).result()


@operation("online_endpoints.begin_create_or_update of mirrored traffic to who answers is refused")
def mirror_to_who_answers(session: Session) -> None:
    endpoint = session.client.online_endpoints.get(session.name("greeter"))
    endpoint.mirror_traffic = {"blue": 10}
    error = raises(HttpResponseError, lambda: session.client.online_endpoints.begin_create_or_update(endpoint).result())
    assert "copies need one with 0 %" in str(error)


@operation("online_endpoints.invoke")
def invoke(session: Session) -> None:
    request = session.write("request.json", json.dumps({"input_data": ["you", "me"]}))
    answer = session.client.online_endpoints.invoke(session.name("greeter"), request_file=str(request))
    assert json.loads(answer) == ["hello you", "hello me"]


@operation("online_endpoints.invoke of a deployment by name")
def invoke_by_name(session: Session) -> None:
    answer = session.client.online_endpoints.invoke(
        session.name("greeter"), request_file=str(session.folder / "request.json"), deployment_name="green"
    )
    assert json.loads(answer) == ["hello you!", "hello me!"]


@operation("online_endpoints.begin_create_or_update of tags and description")
def update(session: Session) -> None:
    endpoint = session.client.online_endpoints.get(session.name("greeter"))
    endpoint.description, endpoint.tags = "greets", {"team": "tests", "colour": "red"}
    session.client.online_endpoints.begin_create_or_update(endpoint).result()
    again = session.client.online_endpoints.get(endpoint.name)
    assert (again.description, again.tags) == ("greets", {"team": "tests", "colour": "red"})
    assert again.traffic == {"blue": 100, "green": 0}


@operation("online_deployments.begin_create_or_update of one that serves")
def update_deployment(session: Session) -> None:
    deployment = session.client.online_deployments.get("green", session.name("greeter"))
    deployment.environment_variables["MARK"] = "?"
    session.client.online_deployments.begin_create_or_update(deployment).result()
    answer = session.client.online_endpoints.invoke(
        session.name("greeter"), request_file=str(session.folder / "request.json"), deployment_name="green"
    )
    assert json.loads(answer) == ["hello you?", "hello me?"]


@operation("online_endpoints.get_keys")
def get_keys(session: Session) -> None:
    keys = session.client.online_endpoints.get_keys(session.name("greeter"))
    assert keys.primary_key != keys.secondary_key
    assert min(len(keys.primary_key), len(keys.secondary_key)) >= 32


@operation("online_endpoints.begin_regenerate_keys")
def regenerate_keys(session: Session) -> None:
    before = session.client.online_endpoints.get_keys(session.name("greeter"))
    session.client.online_endpoints.begin_regenerate_keys(session.name("greeter"), key_type="secondary").wait()
    after = session.client.online_endpoints.get_keys(session.name("greeter"))
    assert after.primary_key == before.primary_key
    assert after.secondary_key != before.secondary_key


@operation("online_deployments.begin_delete")
def delete_deployment(session: Session) -> None:
    session.client.online_deployments.begin_delete("green", session.name("greeter")).wait()
    deployments = session.client.online_deployments.list(session.name("greeter"))
    assert [deployment.name for deployment in deployments] == ["blue"]
    assert session.client.online_endpoints.get(session.name("greeter")).traffic == {"blue": 100}


@operation("online_endpoints.begin_delete")
def delete(session: Session) -> None:
    session.client.online_endpoints.begin_delete(session.name("greeter")).wait()
    raises(ResourceNotFoundError, lambda: session.client.online_endpoints.get(session.name("greeter")))
