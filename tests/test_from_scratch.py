"""The pipeline that needs no hub, from text to a model to serve, in the local workspace; a very small one."""

import json
from pathlib import Path

from conftest import ROOT
from local_commands import azureml_local

SIZE = {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "teacher_steps": 6}
SIZE |= {"student_steps": 4, "per_device_train_batch_size": 2, "max_seq_length": 32}


def test_text_becomes_a_teacher_a_student_of_half_its_layers_and_a_model_to_serve(tmp_path: Path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "days.txt").write_text((ROOT / "sample_data" / "corpus" / "days.txt").read_text()[:20_000])
    smaller = [part for name, value in SIZE.items() for part in ("--set", f"inputs.{name}={value}")]
    text = ["--set", f"inputs.corpus.path={corpus}", "--set", "inputs.held_out_fraction=0.1"]
    run = azureml_local("run", ROOT / "pipelines" / "from_scratch.yml", *text, *smaller, home=tmp_path / "home")
    assert run.returncode == 0, run.stdout + run.stderr

    def output(name: str) -> Path:
        (found,) = (line for line in run.stdout.splitlines() if line.startswith(f"output  {name}:"))
        return Path(found.partition(": ")[2])

    teacher, student = (json.loads((output(name) / "config.json").read_text()) for name in ("teacher", "student"))
    assert (teacher["num_hidden_layers"], teacher["hidden_size"]) == (2, 32)
    assert (student["n_layers"], student["dim"]) == (1, 32)
    assert (output("mlflow_model") / "MLmodel").exists()
    assert list(output("held_out").iterdir())
