import csv
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import weakref
from pathlib import Path

import datasets
import pytest
import torch
import transformers
from interruptions import free_port
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from bert_distillation import finetune_trainer
from bert_distillation.errors import InputError
from bert_distillation.finetune import FinetuneConfig, finetune, load_classifier
from bert_distillation.finetune_trainer import make_trainer, padding
from bert_distillation.glue import TASKS
from bert_distillation.options import run_step
from bert_distillation.precision import resolve_precision
from bert_distillation.student import student_from_teacher
from small_glue import write_task
from small_models import PIECES, save, small_bert

QUICK = {"learning_rate": 2e-3, "per_device_train_batch_size": 8, "max_seq_length": 32, "mixed_precision": "no"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("bert"))


def test_one_process_takes_one_gpu_of_several(monkeypatch: pytest.MonkeyPatch, tokenizer, tmp_path: Path):
    """Else transformers would split each batch between them, and make it as many times larger."""

    class OnEightGpus(transformers.TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            self._n_gpu = 8

    monkeypatch.setattr(finetune_trainer, "TrainingArguments", OnEightGpus)
    rows = datasets.Dataset.from_dict({"input_ids": [[2, 3]], "length": [2]})
    settings = FinetuneConfig(
        task="sst2", model=tmp_path / "model", classifier=tmp_path / "c", metrics=tmp_path / "m", **QUICK
    )
    trainer = make_trainer(settings, small_bert(), tokenizer, rows, tmp_path, "")
    assert trainer.args.n_gpu == 1
    assert trainer.args.train_batch_size == QUICK["per_device_train_batch_size"]


def test_padding_stays_within_the_positions_of_the_model():
    model = small_bert()
    positions = model.config.max_position_embeddings
    assert padding(positions, model, "bf16") == 8
    assert padding(positions, model, "no") is None
    model.config.max_position_embeddings = positions - 1
    assert padding(positions - 1, model, "bf16") is None
    assert padding(positions - 8, model, "fp16") == 8


def test_a_warm_up_of_all_steps_is_one_of_all_steps(bert: Path, glue: Path, tmp_path: Path, capsys):
    settings = {"task": "sst2", "model": bert, "glue": glue, "warmup_ratio": 1.0, "num_train_epochs": 1.0, **QUICK}
    finetune(FinetuneConfig(**settings, classifier=tmp_path / "classifier", metrics=tmp_path / "metrics"))
    rates = [float(rate) for rate in re.findall(r"\| lr (\S+)", capsys.readouterr().out)]
    assert len(rates) > 2
    assert rates == sorted(rates)
    assert QUICK["learning_rate"] / 2 < rates[-1] <= QUICK["learning_rate"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return save(student_from_teacher(small_bert(), 2), tokenizer, tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glue")
    for name in ("sst2", "stsb", "mnli"):
        write_task(TASKS[name], folder, train_rows=60, dev_rows=23)
    return folder


def config(task: str, model: Path, glue: Path, output: Path, **settings: object) -> FinetuneConfig:
    folders = {"model": model, "glue": glue, "classifier": output / "classifier", "metrics": output / "metrics"}
    return FinetuneConfig(task=task, **(folders | QUICK | settings))


def read_metrics(output: Path) -> dict:
    return json.loads((output / "metrics" / "metrics.json").read_text())


def read_predictions(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_a_classifier_learns_and_its_predictions_are_those_of_the_files_rows(
    bert: Path, glue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    logged: list[tuple[dict[str, float], int | None]] = []
    for module in ("finetune", "finetune_trainer"):
        monkeypatch.setattr(
            f"bert_distillation.{module}.log_metrics", lambda metrics, step=None: logged.append((metrics, step))
        )
    finetune(config("sst2", bert, glue, tmp_path, num_train_epochs=6))

    record, predictions = read_metrics(tmp_path), read_predictions(tmp_path / "metrics" / "predictions.tsv")
    assert record["metrics"]["accuracy"] > 0.9
    assert record["headline"] == "accuracy"
    assert (record["train_samples"], record["validation_samples"]) == (60, {"validation": 23})
    rows = [line.split("\t") for line in (glue / "SST-2" / "dev.tsv").read_text().splitlines()[1:]]
    assert [row["label"] for row in predictions] == [label for _, label in rows]
    assert [row["index"] for row in predictions] == [str(index) for index in range(23)]

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "classifier")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "classifier").eval()
    with torch.no_grad():
        answers = [model(**tokenizer(text, return_tensors="pt")).logits.argmax().item() for text, _ in rows]
    assert [row["prediction"] for row in predictions] == [str(answer) for answer in answers]
    assert model.config.id2label == {0: "negative", 1: "positive"}

    *training, (final, _) = logged
    assert final == record["metrics"]
    assert [step for _, step in training] == sorted(step for _, step in training if step)
    assert training[0][0]["loss"] > training[-1][0]["loss"]


def test_a_student_is_fine_tuned_as_a_regression_without_token_types(student: Path, glue: Path, tmp_path: Path):
    finetune(config("stsb", student, glue, tmp_path, num_train_epochs=8))
    record = read_metrics(tmp_path)
    assert record["headline"] == "mean_of_pearson_and_spearman"
    assert record["metrics"]["pearson"] > 0.5
    saved = json.loads((tmp_path / "classifier" / "config.json").read_text())
    assert (saved["model_type"], saved["problem_type"]) == ("distilbert", "regression")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "classifier")
    assert set(tokenizer("the cat", "the dog")) == {"input_ids", "attention_mask"}
    assert tokenizer.model_max_length == 64


def test_mnli_is_scored_on_both_sets(bert: Path, glue: Path, tmp_path: Path):
    finetune(config("mnli", bert, glue, tmp_path, num_train_epochs=1, max_train_samples=10))
    record = read_metrics(tmp_path)
    assert set(record["metrics"]) == {"accuracy_matched", "accuracy_mismatched"}
    assert record["train_samples"] == 10
    for split in ("matched", "mismatched"):
        rows = read_predictions(tmp_path / "metrics" / f"predictions_{split}.tsv")
        right = sum(row["prediction"] == row["label"] for row in rows)
        assert record["metrics"][f"accuracy_{split}"] == pytest.approx(right / 23)
        assert {row["label"] for row in rows} == {"entailment", "neutral", "contradiction"}


def test_equal_seeds_give_equal_classifiers_and_another_seed_does_not(student: Path, glue: Path, tmp_path: Path):
    weights = []
    for run, seed in enumerate((3, 3, 4)):
        finetune(config("sst2", student, glue, tmp_path / str(run), num_train_epochs=0.5, seed=seed))
        weights.append((tmp_path / str(run) / "classifier" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_several_seeds_give_their_mean_and_spread_and_the_firsts_classifier(student: Path, glue: Path, tmp_path: Path):
    quick = {"num_train_epochs": 1, "max_train_samples": 16}
    for name, seeds in (("3", {"seed": 3}), ("4", {"seed": 4}), ("both", {"seed": 3, "num_seeds": 2})):
        finetune(config("sst2", student, glue, tmp_path / name, **quick, **seeds))
    both, *singles = (read_metrics(tmp_path / name) for name in ("both", "3", "4"))
    values = [single["metrics"]["accuracy"] for single in singles]
    assert both["metrics"]["accuracy"] == pytest.approx(sum(values) / 2)
    assert both["seeds"] == [
        {"seed": seed, "metrics": {"accuracy": value}} for seed, value in zip((3, 4), values, strict=True)
    ]
    assert both["deviations"]["accuracy"] == pytest.approx(statistics.stdev(values))
    for file in ("classifier/model.safetensors", "metrics/predictions.tsv"):
        assert (tmp_path / "both" / file).read_bytes() == (tmp_path / "3" / file).read_bytes()


def test_a_seed_leaves_nothing_in_memory_for_the_next(
    student: Path, glue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    models: list[weakref.ref] = []
    left: list[int] = []

    def noted(config: FinetuneConfig, model: torch.nn.Module, *others: object) -> object:
        left.append(sum(other() is not None for other in models))
        models.append(weakref.ref(model))
        return make_trainer(config, model, *others)

    monkeypatch.setattr("bert_distillation.finetune.make_trainer", noted)
    gc.disable()  # else it depends on chance
    try:
        finetune(config("sst2", student, glue, tmp_path, num_seeds=3, num_train_epochs=1))
    finally:
        gc.enable()
    assert left == [0, 0, 0]


def test_a_classifier_of_another_task_can_be_the_start(student: Path, glue: Path, tmp_path: Path):
    quick = {"num_train_epochs": 0.1, "max_train_samples": 8}
    finetune(config("mnli", student, glue, tmp_path / "first", **quick))
    finetune(config("sst2", tmp_path / "first" / "classifier", glue, tmp_path / "second", **quick))
    assert read_metrics(tmp_path / "second")["task"] == "sst2"


def test_each_seed_begins_with_another_layer_that_answers_also_after_another_task(
    student: Path, glue: Path, tmp_path: Path
):
    quick = {"num_train_epochs": 0.1, "max_train_samples": 8}
    finetune(config("sst2", student, glue, tmp_path / "first", **quick))
    start = tmp_path / "first" / "classifier"
    heads = [
        load_classifier(config("rte", start, glue, tmp_path / "second", seed=seed), TASKS["rte"])[0].classifier
        for seed in (0, 0, 1)
    ]
    trained = load_file(start / "model.safetensors")["classifier.weight"]
    assert heads[0].weight.equal(heads[1].weight)
    assert not heads[0].weight.equal(heads[2].weight)
    assert not heads[0].weight.equal(trained)


def test_two_processes_share_the_batches_and_only_the_first_writes(student: Path, glue: Path, tmp_path: Path):
    command = [sys.executable, "-m", "bert_distillation.finetune", "--task", "sst2", "--model", student, "--glue", glue]
    command += ["--classifier", tmp_path / "classifier", "--metrics", tmp_path / "metrics", "--num_train_epochs", "1"]
    command += ["--per_device_train_batch_size", "8", "--max_seq_length", "32"]
    processes, port = [], str(free_port())
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        processes.append(
            subprocess.Popen([*map(str, command)], env=os.environ | place | meeting, text=True, stdout=subprocess.PIPE)
        )
    first, second = (process.communicate(timeout=400)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    losses = [float(value) for value in re.findall(r"step \d/4 \| loss ([\d.]+)", first)]
    assert len(losses) == 4, "60 rows in steps of 2 x 8"
    assert sum(losses) / 4 < 1.5, "the mean over the processes, not their sum"
    assert second == ""
    labels = [line.split("\t")[1] for line in (glue / "SST-2" / "dev.tsv").read_text().splitlines()[1:]]
    assert [row["label"] for row in read_predictions(tmp_path / "metrics" / "predictions.tsv")] == labels


def test_max_seq_length_above_the_models_positions_names_both(bert: Path, glue: Path, tmp_path: Path):
    with pytest.raises(InputError, match="max_seq_length is 65, but the model has 64 positions"):
        finetune(config("sst2", bert, glue, tmp_path, max_seq_length=65))


def test_a_tokenizer_with_more_words_than_the_model_is_refused(
    tokenizer: PreTrainedTokenizerFast, glue: Path, tmp_path: Path
):
    folder = save(small_bert(vocab_size=len(PIECES) - 1), tokenizer, tmp_path / "model")
    with pytest.raises(InputError, match=f"its tokenizer has {len(PIECES)} words and the model {len(PIECES) - 1}"):
        finetune(config("sst2", folder, glue, tmp_path))


def test_an_unknown_task_is_one_sentence_with_the_nearest_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flags = ["--task", "sst-2", "--classifier", str(tmp_path), "--metrics", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        run_step(FinetuneConfig, finetune, flags)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip().endswith("got 'sst-2'. Did you mean \"sst2\"?")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("num_train_epochs", 0.0), ("per_device_train_batch_size", 0), ("warmup_ratio", 1.5), ("mixed_precision", "fp8")],
)
def test_a_setting_that_cannot_work_is_refused_by_name(setting: str, value: object, tmp_path: Path):
    with pytest.raises(InputError, match=setting):
        config("sst2", tmp_path, tmp_path, tmp_path, **{setting: value})


@pytest.mark.parametrize(
    ("asked", "capability", "precision"),
    [
        ("auto", None, "no"),
        ("auto", "avx512_bf16", "bf16"),
        ("auto", "amx_bf16", "bf16"),
        ("auto", (7, 0), "fp16"),
        ("auto", (8, 0), "bf16"),
        ("no", (9, 0), "no"),
        ("bf16", None, "bf16"),
        ("fp16", (7, 0), "fp16"),
    ],
)
def test_precision_follows_the_hardware(asked: str, capability: object, precision: str, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: isinstance(capability, tuple))
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {capability: True})
    assert resolve_precision(asked) == precision


def test_fp16_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        resolve_precision("fp16")
