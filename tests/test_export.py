import json
import stat

import mlflow
import pytest
import yaml

from bert_distillation.errors import InputError
from bert_distillation.export import EXAMPLE, ExportConfig, export
from bert_distillation.fill_mask import FillMask
from bert_distillation.student import student_from_teacher
from small_models import save, small_bert


@pytest.fixture(scope="module")
def student(tokenizer, tmp_path_factory):
    return save(student_from_teacher(small_bert(), 2), tokenizer, tmp_path_factory.mktemp("models") / "student")


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "mlflow_model"
    folder.mkdir()  # as Azure does: the output's folder is there before the step starts
    export(ExportConfig(student=student, base_model_name="small-bert", mlflow_model=folder))
    return folder


def test_the_model_says_what_the_published_card_says(exported):
    model = yaml.safe_load((exported / "MLmodel").read_text())
    assert set(model["flavors"]) == {"python_function", "transformers"}
    assert model["flavors"]["transformers"]["task"] == "fill-mask"
    assert model["metadata"]["base_model_name"] == "small-bert"
    assert model["metadata"]["base_model_task"] == "fill-mask"
    for side in ("inputs", "outputs"):
        assert [column["type"] for column in json.loads(model["signature"][side])] == ["string"]
    assert json.loads((exported / "step.json").read_text())["step"] == "export"


def test_mlflow_loads_it_and_gives_the_predictors_words(exported, student):
    expected = [candidates[0].token for candidates in FillMask.load(student).predict(EXAMPLE)]
    answers = mlflow.transformers.load_model(str(exported))(EXAMPLE[0])
    assert [answers[0]["token_str"].replace(" ", "")] == [word.removeprefix("##") for word in expected]
    assert len(mlflow.pyfunc.load_model(str(exported)).predict(EXAMPLE)) == 1


def test_the_folder_of_the_weights_is_a_model_with_its_tokenizer(exported, student):
    ours, theirs = FillMask.load(exported / "model"), FillMask.load(student)
    assert ours.predict(EXAMPLE, top_k=3) == theirs.predict(EXAMPLE, top_k=3)


def test_the_requirements_are_explicit_and_every_file_can_be_read_by_the_server(exported):
    requirements = (exported / "requirements.txt").read_text()
    for name in ("torch", "transformers", "azureml-inference-server-http", "azureml-ai-monitoring"):
        assert name in requirements
    weights = list(exported.rglob("*.safetensors"))
    assert weights
    assert all(path.stat().st_mode & stat.S_IROTH for path in weights)
    assert not [path for path in exported.rglob("*") if path.suffix in (".bin", ".pkl", ".pt")]


def test_what_is_in_the_folder_is_never_removed_unless_it_is_an_earlier_export(exported, student, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files; give an empty folder"):
        export(ExportConfig(student=student, mlflow_model=tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    export(ExportConfig(student=student, base_model_name="again", mlflow_model=exported))
    assert yaml.safe_load((exported / "MLmodel").read_text())["metadata"]["base_model_name"] == "again"


def test_the_student_is_not_overwritten_by_its_export(student):
    for folder in (student, student / "mlflow_model", student.parent):
        with pytest.raises(InputError, match="overlap, so one would overwrite the other"):
            ExportConfig(student=student, mlflow_model=folder)
