"""`azureml-local deploy`: an online endpoint and its deployment through the SDK."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from azureml_local import launcher
from azureml_local.arm_ids import parse_versioned
from azureml_local.client import connect, sdk_call
from azureml_local.connection import endpoint_page_url
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.job_file import read_yaml

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model, OnlineDeployment


def deploy(options: argparse.Namespace) -> int:
    """Create the endpoint and the deployment that a folder describes, and send all traffic there."""
    files = options.folder / "endpoint.yml", options.deployment or options.folder / "deployment.yml"
    for file in files:
        read_yaml(file)
    home = Home.choose(options.home)
    addresses = launcher.find(home)
    launcher.keep(home)
    client = connect(home, addresses)
    from azure.ai.ml import load_online_deployment, load_online_endpoint

    with sdk_call(f"load {files[0]}"):
        endpoint = load_online_endpoint(files[0])
    with sdk_call(f"load {files[1]}"):
        deployment = load_online_deployment(files[1])
    deployment.endpoint_name = endpoint.name
    if options.model:
        deployment.model = _model(options.model)
    if isinstance(deployment.model, str):
        _check_registered(client, deployment.model)
    traffic = _traffic(client, str(endpoint.name))
    endpoint.traffic = traffic
    with sdk_call(f'create the endpoint "{endpoint.name}"'):
        client.online_endpoints.begin_create_or_update(endpoint).result()
    print(f"Starting {endpoint.name}/{deployment.name}", flush=True)
    _create_deployment(client, deployment)
    endpoint.traffic = {**dict.fromkeys(traffic, 0), deployment.name: 100}
    with sdk_call(f'send the traffic to "{deployment.name}"'):
        ready = client.online_endpoints.begin_create_or_update(endpoint).result()
    print(f"{endpoint.name}/{deployment.name} answers at {ready.scoring_uri}")
    print(f"Ask it by hand at {endpoint_page_url(home, addresses, str(endpoint.name))}")
    return 0


def _create_deployment(client: "MLClient", deployment: "OnlineDeployment") -> None:
    with sdk_call(f'deploy "{deployment.name}"'):
        client.online_deployments.begin_create_or_update(deployment).result()


def _model(reference: str) -> "str | Model":
    """A registered model by its reference, or a local file or folder that is registered on the way."""
    from azure.ai.ml.entities import Model

    if reference.startswith("azureml:"):
        return reference.removeprefix("azureml:") if "@" in reference else reference
    path = Path(reference)
    if not path.exists():
        raise InputError(
            f"--model {reference}: there is no such file or folder; a registered one is azureml:NAME:VERSION."
        )
    kind = "mlflow_model" if (path / "MLmodel").exists() else "custom_model"
    return Model(path=path.absolute(), type=kind)


def _check_registered(client: "MLClient", reference: str) -> None:
    """Refuse a model that the workspace does not have before anything is created for it."""
    from azure.ai.ml.exceptions import ValidationException
    from azure.core.exceptions import ResourceNotFoundError

    parsed = parse_versioned(f"azureml:{reference.removeprefix('azureml:')}")
    if not parsed:
        return
    _, name, version = parsed
    label = version.removeprefix("@") if version.startswith("@") else None
    with sdk_call(f'look up the model "{name}"'):
        try:
            client.models.get(name, label=label) if label else client.models.get(name, version=version)
        except (ResourceNotFoundError, ValidationException):
            raise InputError(
                f'The workspace has no model "{name}{version if label else f":{version}"}": register an output of a '
                f"job as one with `azureml-local run FILE --register OUTPUT={name}`, or give its folder with --model."
            ) from None


def _traffic(client: "MLClient", endpoint: str) -> dict[str, int]:
    """The traffic of an endpoint that is there already: it stays until the new deployment answers."""
    from azure.core.exceptions import ResourceNotFoundError

    with sdk_call(f'look up the endpoint "{endpoint}"'):
        try:
            return dict(client.online_endpoints.get(endpoint).traffic)
        except ResourceNotFoundError:
            return {}
