"""What `azureml-local deploy` looks at before it creates anything, and what it leaves as it is."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint

from azureml_local import cli, deploy_command
from azureml_local.errors import InputError

SCHEMAS = "https://azuremlschemas.azureedge.net/latest/managedOnline"


def test_a_model_without_a_version_is_refused():
    with pytest.raises(InputError, match=r"--model azureml:nope: a registered model is azureml:NAME:VERSION"):
        deploy_command._check_registered(None, "azureml:nope", "--model")


def test_a_file_in_place_of_a_folder_and_a_model_that_is_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "endpoint.yml"
    file.write_text("name: paint\n")
    assert cli.main(["deploy", str(file)]) == 2
    said = f"azureml-local: {file} is a file: give the folder that holds endpoint.yml and deployment.yml.\n"
    assert capsys.readouterr().err == said
    assert cli.main(["deploy", str(tmp_path), "--model", "my-model"]) == 2
    assert capsys.readouterr().err == (
        "azureml-local: --model my-model: there is no such file or folder; a registered model is azureml:NAME:VERSION, "
        "or azureml:NAME@latest.\n"
    )


@pytest.mark.parametrize(
    ("code", "script", "message"),
    [
        ("absent", "score.py", "there is no folder of code"),
        (".", "absent.py", "there is no scoring script"),
    ],
)
def test_code_is_looked_for_before_anything_is_created(
    code: str, script: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "score.py").write_text("")
    (tmp_path / "endpoint.yml").write_text(f"{{$schema: {SCHEMAS}Endpoint.schema.json, name: paint}}\n")
    (tmp_path / "deployment.yml").write_text(
        f"{{$schema: {SCHEMAS}Deployment.schema.json, name: blue, endpoint_name: paint, model: azureml:a:1, "
        f"code_configuration: {{code: {code}, scoring_script: {script}}}, environment: azureml:b:1, "
        "instance_type: Standard_DS3_v2, instance_count: 1}\n"
    )
    assert cli.main(["deploy", str(tmp_path), "--home", str(tmp_path / "home")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "deployment.yml was not deployed: see the errors above." in said


def test_a_deployment_of_another_endpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "endpoint.yml").write_text("name: paint\n")
    (tmp_path / "deployment.yml").write_text("{name: blue, endpoint_name: varnish}\n")
    assert cli.main(["deploy", str(tmp_path), "--home", str(tmp_path / "home")]) == 2
    files = f"{tmp_path}/deployment.yml", f"{tmp_path}/endpoint.yml"
    assert capsys.readouterr().err == (
        f'azureml-local: {files[0]} is for the endpoint "varnish", and {files[1]} describes "paint": '
        "give both the same name.\n"
    )


def test_mirroring_and_tags_of_an_endpoint_outlive_a_deployment():
    there = ManagedOnlineEndpoint(name="paint", tags={"owner": "me"}, traffic={"blue": 100}, mirror_traffic={"red": 10})
    client = SimpleNamespace(online_endpoints=SimpleNamespace(get=lambda name: there))
    endpoint = ManagedOnlineEndpoint(name="paint", tags={"stage": "test"})
    assert deploy_command._keep_what_is_there(client, endpoint) == {"blue": 100}
    assert endpoint.tags == {"owner": "me", "stage": "test"}
    assert (endpoint.traffic, endpoint.mirror_traffic) == ({"blue": 100}, {"red": 10})
    asked = ManagedOnlineEndpoint(name="paint", mirror_traffic={"red": 5})
    deploy_command._keep_what_is_there(client, asked)
    assert asked.mirror_traffic == {"red": 5}
