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
from azureml_local.job_file import read_yaml, refuse_errors

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model, OnlineDeployment, OnlineEndpoint


def deploy(options: argparse.Namespace) -> int:
    """Create the endpoint and the deployment that a folder describes, and send all traffic there."""
    if options.folder.is_file():
        raise InputError(f"{options.folder} is a file: give the folder that holds endpoint.yml and deployment.yml.")
    files = options.folder / "endpoint.yml", options.deployment or options.folder / "deployment.yml"
    _refuse_missing_model(options.model)
    model = options.model and (options.model if _is_registered(options.model) else str(Path(options.model).absolute()))
    _refuse_another_endpoint(*files)
    for file, overrides in zip(files, ([], [{"model": model}] if model else []), strict=True):
        refuse_errors(file, overrides, "deployed")
    home = Home.choose(options.home)
    with launcher.in_running(home) as addresses:
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
        _check_registered(client, deployment.model, "--model" if options.model else f"{files[1]}: model:")
    traffic = _keep_what_is_there(client, endpoint)
    with sdk_call(f'create the endpoint "{endpoint.name}"'):
        client.online_endpoints.begin_create_or_update(endpoint).result()
    print(f"Starting {endpoint.name}/{deployment.name}", flush=True)
    _create_deployment(client, deployment)
    endpoint.traffic = {**dict.fromkeys(traffic, 0), deployment.name: 100}
    # A deployment that answers is not asked a second time.
    endpoint.mirror_traffic = {name: share for name, share in copies(endpoint).items() if name != deployment.name}
    with sdk_call(f'send the traffic to "{deployment.name}"'):
        ready = client.online_endpoints.begin_create_or_update(endpoint).result()
    print(f"{endpoint.name}/{deployment.name} answers at {ready.scoring_uri}")
    print(f"Ask it by hand at {endpoint_page_url(home, addresses, str(endpoint.name))}")
    return 0


def _refuse_another_endpoint(endpoint_file: Path, deployment_file: Path) -> None:
    described, meant = read_yaml(endpoint_file).get("name"), read_yaml(deployment_file).get("endpoint_name")
    if meant not in (None, described):
        raise InputError(
            f'{deployment_file} is for the endpoint "{meant}", and {endpoint_file} describes "{described}": '
            "give both the same name."
        )


def _create_deployment(client: "MLClient", deployment: "OnlineDeployment") -> None:
    with sdk_call(f'deploy "{deployment.name}"'):
        client.online_deployments.begin_create_or_update(deployment).result()


def _model(reference: str) -> "str | Model":
    """A registered model by its reference, or a local file or folder that is registered on the way."""
    from azure.ai.ml.entities import Model

    if _is_registered(reference):
        return reference.removeprefix("azureml:") if "@" in reference else reference
    path = Path(reference)
    kind = "mlflow_model" if (path / "MLmodel").exists() else "custom_model"
    return Model(path=path.absolute(), type=kind)


def _refuse_missing_model(reference: str | None) -> None:
    if reference and not _is_registered(reference) and not Path(reference).exists():
        raise InputError(
            f"--model {reference}: there is no such file or folder; a registered model is azureml:NAME:VERSION, or "
            "azureml:NAME@latest."
        )


def _is_registered(reference: str) -> bool:
    return reference.startswith("azureml:")


def _check_registered(client: "MLClient", reference: str, where: str) -> None:
    """Refuse a model that the workspace does not have before anything is created for it; where: it is named."""
    from azure.ai.ml.exceptions import ValidationException
    from azure.core.exceptions import ResourceNotFoundError

    parsed = parse_versioned(f"azureml:{reference.removeprefix('azureml:')}")
    if not parsed:
        raise InputError(f"{where} {reference}: a registered model is azureml:NAME:VERSION, or azureml:NAME@latest.")
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


def _keep_what_is_there(client: "MLClient", endpoint: "OnlineEndpoint") -> dict[str, int]:
    """Give the endpoint the traffic, the mirroring and the tags that it has already; returns its traffic.

    The traffic stays until the new deployment answers.
    """
    from azure.core.exceptions import ResourceNotFoundError

    with sdk_call(f'look up the endpoint "{endpoint.name}"'):
        try:
            there = client.online_endpoints.get(str(endpoint.name))
        except ResourceNotFoundError:
            return {}
    endpoint.traffic = dict(there.traffic or {})
    endpoint.mirror_traffic = copies(endpoint) or copies(there)
    endpoint.tags = {**(there.tags or {}), **(endpoint.tags or {})}
    return dict(endpoint.traffic)


def copies(endpoint: "OnlineEndpoint") -> dict[str, int]:
    """The shares of an endpoint's requests that deployments get a copy of."""
    return dict(getattr(endpoint, "mirror_traffic", None) or {})
