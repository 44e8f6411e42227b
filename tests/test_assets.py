"""What is said of an asset that is not there."""

from pathlib import Path

import pytest

from azureml_local.arm_ids import resource_id
from azureml_local.assets import MOST_NAMES, RUNS, Assets
from azureml_local.blobs import Blobs
from azureml_local.spec import SpecError
from azureml_local.store import Store


@pytest.fixture
def assets(store: Store, tmp_path: Path) -> Assets:
    return Assets(store, Blobs(tmp_path / "blobs", store))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (resource_id("models", "filler", "3"), "no model filler:3; of filler it has 1, 2."),
        (resource_id("models", "filer", "1"), "no model filer:1; it has filler, other."),
        (resource_id("data", "text", "1"), "no data text:1; it has none."),
        ("azureml:filer:1", "no data or model filer:1; it has filler, other."),
        ("azureml:filer@latest", "no data or model filer@latest; it has filler, other."),
    ],
)
def test_what_there_is_is_said_beside_what_is_not(uri: str, said: str, store: Store, assets: Assets):
    for name, version in (("filler", "1"), ("filler", "2"), ("other", "1")):
        store.put("models", name, version, {"properties": {"modelUri": "azureml://datastores/x/paths/y"}})
    with pytest.raises(SpecError) as error:
        assets.locate(uri)
    assert str(error.value) == f"The local workspace has {said} Correct the name, or register it first."


def test_of_many_versions_the_last_are_said(store: Store, assets: Assets):
    for version in range(1, 20):
        store.put("models", "filler", str(version), {"properties": {}})
    last = ", ".join(str(version) for version in range(20 - MOST_NAMES, 20))
    with pytest.raises(SpecError, match=f"of filler it has {last}"):
        assets.locate(resource_id("models", "filler", "20"))


def test_what_mlflow_calls_a_run_is_what_the_job_has_left(store: Store, assets: Assets, tmp_path: Path):
    store.put(RUNS, "calm_river", "", {})
    model = tmp_path / "blobs" / "azureml" / "ExperimentRun" / "dcid.calm_river" / "outputs" / "model"
    model.mkdir(parents=True)
    settled = assets.settle("runs:/calm_river/outputs/model")
    assert settled.endswith("/datastores/workspaceartifactstore/paths/ExperimentRun/dcid.calm_river/outputs/model/")
    assert assets.locate("runs:/calm_river/outputs/model") == assets.locate(settled) == model
    with pytest.raises(SpecError, match="There is nothing at runs:/calm_river/other"):
        assets.settle("runs:/calm_river/other")


def test_a_run_that_is_no_job_is_said_to_be_none(assets: Assets):
    with pytest.raises(SpecError, match=r'runs:/0a1b/model: the run "0a1b" is no job of the local workspace'):
        assets.settle("runs:/0a1b/model")


FLAVOR = {"data": {"loader_module": "nothing", "python_version": "3.11", "code": "None"}}


@pytest.mark.parametrize(
    ("text", "flavors"),
    [
        (
            "flavors: {python_function: {loader_module: nothing, python_version: 3.11, code: }}",
            {"python_function": FLAVOR},
        ),
        ("flavors: [pyfunc]", {}),
        ("flavors: {pyfunc: }", {}),
        ("a model", {}),
        ("{flavors: ", {}),
        ("a: 2026-13-99", {}),
    ],
)
def test_the_flavors_of_a_model_are_what_its_file_says(assets: Assets, tmp_path: Path, text: str, flavors: dict):
    folder = tmp_path / "blobs" / "azureml-blobstore" / "model"
    folder.mkdir()
    uri = "azureml://datastores/workspaceblobstore/paths/model"
    assert assets.flavors(uri) == {}
    (folder / "MLmodel").write_text(text)
    assert assets.flavors(uri) == flavors
    assert assets.register("mlflow_model", "filler", "1", uri)
    assert assets.find("models", "azureml:filler:1").body["properties"]["flavors"] == flavors
