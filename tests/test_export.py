import json
import stat
from importlib.metadata import version

import mlflow
import pandas as pd
import pytest
import torch
import transformers
import yaml
from transformers import DistilBertConfig, DistilBertForMaskedLM

from bert_distillation import onnx_graph
from bert_distillation.errors import InputError
from bert_distillation.export import EXAMPLE, ExportConfig, as_here, check_free, export
from bert_distillation.fill_mask import FillMask
from bert_distillation.gate import AGREEMENT, Verdict
from bert_distillation.student import student_from_teacher
from bert_distillation.tracking import MOVED_FILE, PARTIAL
from conftest import ROOT
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


def test_every_way_of_loading_it_gives_the_same_words(exported, student):
    """mlflow.pyfunc, the endpoint's predictor, mlflow.transformers and transformers itself."""
    texts = ["paris is the [MASK] of france .", "today is a [MASK] day !"]
    expected = [candidates[0].token for candidates in FillMask.load(student).predict(texts)]
    loaded = mlflow.pyfunc.load_model(str(exported))
    assert type(loaded._model_impl).__name__ == "FillMaskModel"
    assert loaded.predict(texts) == expected
    of_mlflow = mlflow.transformers.load_model(str(exported))
    of_transformers = transformers.pipeline("fill-mask", model=str(exported / "model"), device="cpu")
    for pipe in (of_mlflow, of_transformers):
        assert [pipe.tokenizer.convert_ids_to_tokens(pipe(text)[0]["token"]) for text in texts] == expected


def test_pyfunc_takes_texts_objects_and_frames_and_the_endpoints_params(exported):
    loaded = mlflow.pyfunc.load_model(str(exported))
    text = "paris is the [MASK] of france ."
    [word] = loaded.predict([text])
    assert loaded.predict(text) == [word]
    assert loaded.predict(pd.DataFrame({"input_string": [text, text]})) == [word, word]
    [three] = loaded.predict([text], params={"top_k": 3})
    assert three[0] == word
    assert len(set(three)) == 3
    [two] = loaded.predict([text], params={"top_k": 2, "targets": ["rome", "paris"], "return_scores": True})
    assert {candidate["word"] for candidate in two} == {"rome", "paris"}
    with pytest.raises(InputError, match=r"Text 1 has no \[MASK\]"):
        loaded.predict([text, "none"])


def test_where_azures_own_script_serves_a_mistake_is_answered_and_not_raised(exported, monkeypatch):
    loaded = mlflow.pyfunc.load_model(str(exported))
    monkeypatch.setenv("MLFLOW_MODEL_FOLDER", "mlflow_model")
    response = loaded.predict(["none"])
    assert response.status_code == 400
    assert "Text 0 has no [MASK]" in json.loads(response.get_data(as_text=True))["error"]["message"]
    assert loaded.predict(["a [MASK]"] * 300).status_code == 413


def test_its_readme_shows_what_the_model_itself_answers(exported):
    card = (exported / "README.md").read_text()
    [[candidate]] = FillMask.load(exported / "model").predict([EXAMPLE])
    assert f"```json\n{json.dumps([candidate.token])}\n```" in card
    assert card.startswith("# Fill-mask model distilled from small-bert\n")
    assert "DistilBertForMaskedLM, 2 layers of 32" in card
    assert "## Limitations and biases" in card


def test_no_path_of_the_machine_that_exported_it_is_in_the_model(exported, student):
    places = (str(student.parent), str(exported.parent), str(ROOT))
    files = [file for kind in ("*.json", "*.yaml", "*.txt", "*.md", "MLmodel") for file in exported.rglob(kind)]
    assert len(files) > 8
    for file in files:
        if file.name != "step.json":  # which says what the model was made from
            assert not [place for place in places if place in file.read_text()], file


def test_the_folder_of_the_weights_is_a_model_with_its_tokenizer(exported, student):
    [ours], [theirs] = (FillMask.load(folder).predict([EXAMPLE], top_k=3) for folder in (exported / "model", student))
    assert [candidate.token for candidate in ours] == [candidate.token for candidate in theirs]
    assert [candidate.score for candidate in ours] == pytest.approx([candidate.score for candidate in theirs], rel=1e-4)


def test_the_requirements_are_explicit_and_every_file_can_be_read_by_the_server(exported):
    requirements = (exported / "requirements.txt").read_text().splitlines()
    for name in ("torch", "transformers", "azureml-inference-server-http", "azureml-ai-monitoring"):
        assert f"{name}=={version(name).partition('+')[0]}" in requirements
    assert as_here(["no-such-package>=1"]) == ["no-such-package>=1"]
    weights = list(exported.rglob("*.safetensors"))
    assert weights
    assert all(path.stat().st_mode & stat.S_IROTH for path in weights)
    assert not [path for path in exported.rglob("*") if path.suffix in (".bin", ".pkl", ".pt")]


def half_moved(folder, step):
    """An output whose step was ended while it moved its files up."""
    (folder / PARTIAL).mkdir(parents=True)
    (folder / MOVED_FILE).write_text(json.dumps({"step": step}))
    (folder / "MLmodel").touch()
    return folder


def test_what_is_in_the_folder_is_never_removed_unless_it_is_an_earlier_export(exported, student, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files; give an empty folder"):
        export(ExportConfig(student=student, mlflow_model=tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {}}")  # a model, and somebody else's
    with pytest.raises(InputError, match="holds other files; give an empty folder"):
        export(ExportConfig(student=student, mlflow_model=tmp_path))
    assert (tmp_path / "MLmodel").read_text() == "flavors: {sklearn: {}}"
    check_free(half_moved(tmp_path / "half", "export"))
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "run.lock.partial").touch()  # of an export that was killed at its heartbeat
    check_free(tmp_path / "locked")
    with pytest.raises(InputError, match="holds other files; give an empty folder"):
        check_free(half_moved(tmp_path / "other", "distill"))
    export(ExportConfig(student=student, base_model_name="again", mlflow_model=exported))
    assert yaml.safe_load((exported / "MLmodel").read_text())["metadata"]["base_model_name"] == "again"


def test_the_student_is_not_overwritten_by_its_export(student):
    for folder in (student, student / "mlflow_model", student.parent):
        with pytest.raises(InputError, match="overlap, so one would overwrite the other"):
            ExportConfig(student=student, mlflow_model=folder)


def test_the_graph_takes_its_weights_from_the_models_own_file(exported):
    assert (exported / "model" / "model.onnx").stat().st_size < 20_000
    assert type(FillMask.load(exported / "model").runner).__name__ == "OnnxRunner"


def write_rows(file, words):
    rows = [{"input_string": text, "title": word} for text, word in words]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_the_gate_lets_pass_what_is_at_its_limit():
    def verdict(rows: int, lost: int) -> Verdict:
        settings = {"rows": rows, "agreement": AGREEMENT, "depends_on_batch": 0}
        return Verdict(**settings, top_1_fp32=0.02, top_1=0.02 - lost / rows)

    assert all(verdict(rows, rows // 200).passes for rows in range(200, 2001, 200))
    assert not any(verdict(rows, rows // 200 + 1).passes for rows in range(200, 2001, 200))


def test_8_bits_are_offered_only_if_they_pass_the_gate(student, tmp_path, monkeypatch, capsys):
    texts = ["the [MASK] of france .", "today is a [MASK] day !", "[MASK]"]
    words = [candidates[0].token for candidates in FillMask.load(student).predict(texts)]
    rows = write_rows(tmp_path / "rows.jsonl", zip(texts, words, strict=True))
    config = ExportConfig(student=student, int8=True, test_data=rows, mlflow_model=tmp_path / "passes")
    export(config)
    verdict = json.loads((tmp_path / "passes" / "model" / "int8-gate.json").read_text())
    assert sorted(json.loads((tmp_path / "passes" / "step.json").read_text())["inputs"]) == ["student", "test_data"]
    assert verdict["passes"]
    assert verdict["top_1_fp32"] == 1
    assert FillMask.load(tmp_path / "passes" / "model", "int8").predict(texts)
    assert "int8 is offered: the likeliest word agrees in 100.0% of 3 sentences" in capsys.readouterr().out

    monkeypatch.setattr("bert_distillation.onnx_graph.ZERO_POINT", 2)  # of two bits only, much is lost
    export(ExportConfig(student=student, int8=True, test_data=rows, mlflow_model=tmp_path / "fails"))
    assert "int8 is refused: the likeliest word agrees in" in capsys.readouterr().out
    assert not (tmp_path / "fails" / "model" / "model-int8.onnx").exists()
    assert not json.loads((tmp_path / "fails" / "model" / "int8-gate.json").read_text())["passes"]


def test_the_gate_asks_only_texts_with_one_mask(student, tmp_path, capsys):
    far = ("[MASK] " + "the river " * 80 + "[MASK]", "cat dog")  # which the model cannot read at once
    settings = {"student": student, "int8": True, "mlflow_model": tmp_path / "model"}
    rows = write_rows(tmp_path / "rows.jsonl", [far, ("the [MASK] of france .", "capital")])
    export(ExportConfig(**settings, test_data=rows))
    assert "the gate of int8 leaves out 1 of 2 texts" in (printed := capsys.readouterr().out)
    assert "of 1 sentences" in printed
    with pytest.raises(InputError, match=r"none of the 1 texts has one \[MASK\] alone"):
        export(ExportConfig(**settings, test_data=write_rows(tmp_path / "far.jsonl", [far])))


def test_8_bits_without_sentences_to_judge_them_are_refused(student, tmp_path):
    with pytest.raises(InputError, match="int8 is on without test_data"):
        ExportConfig(student=student, int8=True, mlflow_model=tmp_path)


NOT_THE_MODEL = r"logits differ from the model's by up to [\d.e-]+, where .* is [\d.]+; this model cannot be exported"


def test_a_graph_that_is_not_the_model_is_not_exported(student, tmp_path, monkeypatch):
    monkeypatch.setitem(onnx_graph.DISTILBERT, "query", "attention.k_lin")
    with pytest.raises(InputError, match=NOT_THE_MODEL):
        export(ExportConfig(student=student, mlflow_model=tmp_path / "model"))


@pytest.mark.parametrize(("part", "taken"), [("query", "key"), ("value", "query"), ("query", "value")])
def test_nor_is_that_of_a_model_to_which_all_words_are_alike(part, taken, tokenizer, tmp_path, monkeypatch):
    torch.manual_seed(0)
    sizes = DistilBertConfig(vocab_size=30_522, dim=64, hidden_dim=128, n_layers=2, n_heads=4)
    student = save(DistilBertForMaskedLM(sizes), tokenizer, tmp_path / "student")
    export(ExportConfig(student=student, mlflow_model=tmp_path / "right"))
    monkeypatch.setitem(onnx_graph.DISTILBERT, part, onnx_graph.DISTILBERT[taken])
    with pytest.raises(InputError, match=NOT_THE_MODEL):
        export(ExportConfig(student=student, mlflow_model=tmp_path / "wrong"))


def test_the_weights_are_one_file_however_large(student, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HUGGINGFACE_MODEL_MAX_SHARD_SIZE", "10KB")  # as if the model were as large
    export(ExportConfig(student=student, mlflow_model=tmp_path / "model"))
    assert sorted(file.name for file in (tmp_path / "model" / "model").glob("*.safetensors*")) == ["model.safetensors"]
    assert type(FillMask.load(tmp_path / "model" / "model").runner).__name__ == "OnnxRunner"


def test_words_that_a_bert_does_not_share_with_its_embeddings_make_no_graph():
    config = small_bert(tie_word_embeddings=False).config.to_dict()
    with pytest.raises(InputError, match="vocabulary layer has weights of its own"):
        onnx_graph.Shape.of(config)
