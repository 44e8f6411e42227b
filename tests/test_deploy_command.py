"""What `azureml-local deploy` looks at before it creates anything, and what it leaves as it is."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment, ManagedOnlineEndpoint

from azureml_local import deploy_command
from azureml_local.errors import InputError


def test_a_model_without_a_version_is_refused():
    with pytest.raises(InputError, match=r"--model azureml:nope: a registered model is azureml:NAME:VERSION"):
        deploy_command._check_registered(None, "azureml:nope")


@pytest.mark.parametrize(
    ("code", "script", "message"),
    [
        ("absent", "score.py", "code_configuration.code: there is no folder"),
        (".", "absent.py", "code_configuration.scoring_script: there is no file absent.py in"),
        (".", "score.py", None),
        ("azureml:code:1", "score.py", None),
    ],
)
def test_code_is_looked_for_before_anything_is_created(code: str, script: str, message: str | None, tmp_path: Path):
    (tmp_path / "score.py").write_text("")
    deployment = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="paint",
        base_path=tmp_path,
        code_configuration=CodeConfiguration(code=code, scoring_script=script),
    )
    with pytest.raises(InputError, match=message) if message else nullcontext():
        deploy_command._check_code(deployment)


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
