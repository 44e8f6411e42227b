import json
from dataclasses import dataclass
from pathlib import Path

import mlflow

from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.tracking import checksum, write_step


@dataclass(frozen=True)
class SampleConfig:
    corpus: Path
    seed: int = 3


def test_a_step_describes_itself_with_configuration_versions_and_checksums(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("one")
    write_step(tmp_path / "out", "preprocess", SampleConfig(corpus), {"corpus": corpus, "tokenizer": None})
    record = json.loads((tmp_path / "out" / "step.json").read_text())
    assert record["step"] == "preprocess"
    assert record["configuration"] == {"corpus": str(corpus), "seed": 3}
    assert record["inputs"] == {"corpus": checksum(corpus)}
    assert {"python", "torch", "transformers"} <= set(record["versions"])


def test_a_checksum_changes_with_a_name_or_a_byte_and_with_nothing_else(tmp_path):
    file = tmp_path / "folder" / "a.txt"
    file.parent.mkdir()
    file.write_text("one")
    first = checksum(file.parent)
    file.touch()
    assert checksum(file.parent) == first
    file.write_text("two")
    second = checksum(file.parent)
    file.rename(file.with_name("b.txt"))
    assert len({first, second, checksum(file.parent)}) == 3


def test_metrics_go_to_the_run_that_the_environment_names_and_only_from_the_first_process(tmp_path, monkeypatch):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = mlflow.MlflowClient().create_run("0").info.run_id
    log_metrics({"loss": 9.0})
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    log_metrics({"loss": 1.5}, step=2)
    log_parameters(SampleConfig(tmp_path))
    monkeypatch.setenv("RANK", "1")
    log_metrics({"loss": 7.0}, step=3)
    mlflow.end_run()
    run = mlflow.get_run(run_id)
    assert run.data.metrics == {"loss": 1.5}
    assert run.data.params == {"corpus": str(tmp_path), "seed": "3"}
