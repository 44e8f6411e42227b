"""What fails around a step, row by row of the table in docs/reliability.md: one sentence, and nothing lost."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import torch
from safetensors.torch import load_file, save_file

from bert_distillation import mlflow_run, training
from bert_distillation.distill import DistillConfig, distill
from bert_distillation.errors import InputError
from bert_distillation.evaluate import EvaluateConfig
from bert_distillation.export import ExportConfig, export
from bert_distillation.finetune import FinetuneConfig
from bert_distillation.glue import TASKS
from bert_distillation.options import run_step
from bert_distillation.progress import read_log
from bert_distillation.run_lock import RunLock
from bert_distillation.sequences import read_metadata
from mounts import in_a_mount
from small_corpus import documents, write_jsonl, write_vocabulary
from small_glue import write_task
from small_models import TEXTS, save, small_bert, small_sequences

SMALL_DISK = """
set -e
mount -t tmpfs -o size={size} none {disk}
status=0
python -m bert_distillation.distill {arguments} || status=$?
cp -r {disk}/checkpoints {kept}
exit $status
"""
LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from bert_distillation.distill import DistillConfig, distill
from bert_distillation.options import run_step

def limited(config):
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 300_000_000, size + 300_000_000))
    distill(config)

run_step(DistillConfig, limited, sys.argv[1:])
"""
READ_ONLY = """
set -e
mount -t tmpfs -o ro none {disk}
python -m bert_distillation.distill {arguments}
"""


@pytest.fixture(scope="module")
def made(tokenizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    small_sequences(folder / "sequences", tokenizer, TEXTS)
    save(small_bert(), tokenizer, folder / "teacher")
    return folder


@pytest.fixture
def inputs(made: Path, tmp_path: Path) -> Path:
    """Sequences and a teacher that a test may spoil."""
    shutil.copytree(made, tmp_path / "inputs")
    return tmp_path / "inputs"


def settings(inputs: Path, student: Path, **others: object) -> dict[str, object]:
    shape = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_train_steps": 10}
    rates = {"learning_rate": 2e-3, "logging_steps": 2, "checkpointing_steps": 2, "mixed_precision": "no"}
    folders = {"sequences": inputs / "sequences", "teacher": inputs / "teacher", "student": student}
    return folders | shape | rates | others


def arguments(**values: object) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def size_of_a_checkpoint(folder: Path) -> int:
    (newest, *_) = sorted(folder.glob("step-*"), reverse=True)
    return sum(file.stat().st_size for file in newest.iterdir())


def test_a_full_disk_ends_the_run_with_a_sentence_and_its_last_checkpoint_whole(inputs: Path, tmp_path: Path, capsys):
    whole, disk, kept = tmp_path / "whole", tmp_path / "disk", tmp_path / "kept"
    distill(DistillConfig(**settings(inputs, whole, checkpoints=tmp_path / "checkpoints")))
    disk.mkdir()
    given = settings(inputs, tmp_path / "student", checkpoints=disk / "checkpoints")
    size = int(1.7 * size_of_a_checkpoint(tmp_path / "checkpoints"))
    script = SMALL_DISK.format(size=size, disk=disk, kept=kept, arguments=" ".join(arguments(**given)))
    done = in_a_mount(script)
    assert done.returncode == 1
    assert re.search(r"^error: .*No space left on device", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert [file.parent.name[:13] for file in kept.glob("step-*/checkpoint.json")] == ["step-00000002"]
    capsys.readouterr()
    distill(DistillConfig(**(given | {"checkpoints": kept})))
    assert "going on after step 2" in capsys.readouterr().out
    assert (tmp_path / "student" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("step", ["export", "finetune", "preprocess"])
def test_a_full_disk_is_one_sentence_in_every_step(step: str, inputs: Path, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    write_task(TASKS["sst2"], inputs / "glue", train_rows=20, dev_rows=4)
    write_jsonl(inputs / "corpus" / "a.jsonl", documents(300))
    write_vocabulary(inputs / "vocabulary", documents(300))
    given = {
        "export": {"student": inputs / "teacher", "mlflow_model": disk / "out"},
        "finetune": {"task": "sst2", "model": inputs / "teacher", "glue": inputs / "glue", "num_train_epochs": 1}
        | {"classifier": disk / "out", "metrics": tmp_path / "metrics", "max_seq_length": 32},
        "preprocess": {"corpus": inputs / "corpus", "tokenizer": inputs / "vocabulary", "max_seq_length": 32}
        | {"sequences": disk / "out", "held_out": tmp_path / "held_out", "test_data": tmp_path / "test_data"},
    }[step]
    command = f"python -m bert_distillation.{step} {' '.join(arguments(**given))}"
    done = in_a_mount(f"mount -t tmpfs -o size=64k none {disk}\n{command}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = done.stderr.splitlines()[-1]
    assert re.match(rf"error: {disk}.*[Nn]o space left.*(Make room there|start again)", told)
    assert not list(tmp_path.rglob("run.lock"))  # of the folders beside the full disk


def test_a_read_only_output_is_found_before_the_work(inputs: Path, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    for place in (disk, disk / "student"):
        given = settings(inputs, place)
        done = in_a_mount(READ_ONLY.format(disk=disk, arguments=" ".join(arguments(**given))))
        assert done.returncode == 1
        assert re.fullmatch(r"error: student: .*(cannot be written|Read-only file system); give.*\n", done.stderr)
        assert "step 2/10" not in done.stdout


def test_a_damaged_shard_is_named(inputs: Path, tmp_path: Path):
    (shard,) = read_metadata(inputs / "sequences").shards
    file = inputs / "sequences" / shard.name
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"{shard.name} is damaged: it is not what was written; run `preprocess`"):
        distill(DistillConfig(**settings(inputs, tmp_path / "student")))


def test_damaged_weights_of_a_step_are_named(inputs: Path, tmp_path: Path):
    distill(DistillConfig(**settings(inputs, tmp_path / "student", max_train_steps=1)))
    file = tmp_path / "student" / "model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor + 1e-3 for name, tensor in tensors.items()}, file)
    with pytest.raises(InputError, match=r"student: .*model.safetensors is damaged: it is not what its step wrote"):
        export(ExportConfig(student=tmp_path / "student", mlflow_model=tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_a_tokenizer_that_was_changed_between_two_steps_is_refused(inputs: Path, tmp_path: Path):
    file = inputs / "sequences" / "tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["rome"], vocabulary["paris"] = vocabulary["paris"], vocabulary["rome"]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not the one that made its sequences; run `preprocess` again"):
        distill(DistillConfig(**settings(inputs, tmp_path / "student")))


def test_a_second_run_in_the_same_output_is_refused_before_it_changes_anything(inputs: Path, tmp_path: Path):
    for name in ("student", "checkpoints"):
        given = settings(inputs, tmp_path / "student", checkpoints=tmp_path / "checkpoints")
        (tmp_path / name).mkdir()
        with RunLock(tmp_path / name, beat_seconds=0.1):
            with pytest.raises(InputError, match=rf"{name} is being written by another run"):
                distill(DistillConfig(**given))
            assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["run.lock"]
        distill(DistillConfig(**given))
        for folder in ("student", "checkpoints"):
            assert not (tmp_path / folder / "run.lock").exists()
            shutil.rmtree(tmp_path / folder)


@pytest.mark.parametrize("state", ["locked", "gone"])
def test_training_goes_on_without_its_mlflow_store_and_says_so(
    state: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    file = tmp_path / "mlflow.db"
    store = f"sqlite:///{file}?timeout=0.1"
    run_id = mlflow.MlflowClient(store).create_run("0").info.run_id
    client = mlflow.MlflowClient(store if state == "locked" else "http://127.0.0.1:9")
    for name, value in {"MLFLOW_RUN_ID": run_id, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda *_: client)
    monkeypatch.setattr(mlflow_run, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(mlflow_run, "_logs", {})
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    distill(DistillConfig(**settings(inputs, tmp_path / "student")))
    assert [row["step"] for row in read_log(tmp_path / "student")] == [2, 4, 6, 8, 10]
    assert "MLflow takes nothing at present" in capsys.readouterr().err
    other.execute("ROLLBACK")
    other.close()
    mlflow_run.finish_logging(seconds=10 if state == "locked" else 0.1)
    told = capsys.readouterr().err
    if state == "gone":
        assert "the output folder has them" in told
    else:
        history = client.get_metric_history(run_id, "loss")
        assert [point.step for point in history] == [2, 4, 6, 8, 10]


def test_a_loss_that_is_no_number_names_the_step_the_rate_and_the_last_good_checkpoint(inputs: Path, tmp_path: Path):
    given = settings(inputs, tmp_path / "student", checkpoints=tmp_path / "checkpoints")
    with pytest.raises(
        InputError, match=r"at step 4 \(learning rate \S+\)\. The last good checkpoint is .*/step-00000002-"
    ):
        distill(DistillConfig(**(given | {"learning_rate": 1e30, "warmup_ratio": 0.5})))
    for folder in (tmp_path / "checkpoints").glob("step-*"):
        assert all(tensor.isfinite().all() for tensor in load_file(folder / "model.safetensors").values())


def test_weights_that_are_no_numbers_do_not_become_a_checkpoint(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The loss of their step was still a number: it is the one before the weights changed."""

    class Spoiled(torch.optim.AdamW):
        def step(self, closure: object = None) -> None:
            super().step(closure)
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 4:
                self.param_groups[0]["params"][0].data.fill_(float("nan"))

    monkeypatch.setattr(training, "AdamW", Spoiled)
    given = settings(inputs, tmp_path / "student", checkpoints=tmp_path / "checkpoints", logging_steps=10)
    with pytest.raises(
        InputError, match=r"The weights are not finite at step 4 .*The last good checkpoint is .*-00000002-"
    ):
        distill(DistillConfig(**given))
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 1


def ends_with(step: Callable[[object], None], config: type, given: dict[str, object], capsys) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        run_step(config, step, arguments(**given))
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        torch.distributed.DistBackendError("NCCL error: unhandled cuda error. Cuda failure 2 'out of memory'"),
    ],
)
def test_out_of_memory_names_the_setting_to_lower(error: Exception, inputs: Path, tmp_path: Path, capsys):
    def fail(config: object) -> None:
        raise error

    code, told = ends_with(fail, DistillConfig, settings(inputs, tmp_path / "student"), capsys)
    assert code == 1
    assert told.startswith("error: out of memory: lower --per_device_train_batch_size (now 4) and raise --gradient_acc")
    given = {"model": inputs / "teacher", "evaluation_result": tmp_path / "result", "batch_size": 16}
    assert "lower --batch_size (now 16)." in ends_with(fail, EvaluateConfig, given, capsys)[1]
    given = {"task": "rte", "model": "m", "glue": "g", "classifier": tmp_path / "c", "metrics": tmp_path / "m"}
    assert "lower --per_device_train_batch_size (now 32).\n" in ends_with(fail, FinetuneConfig, given, capsys)[1]


def test_memory_that_really_ends_is_said_the_same_way(inputs: Path, tokenizer, tmp_path: Path):
    small_sequences(inputs / "long", tokenizer, TEXTS * 200)
    given = settings(inputs, tmp_path / "student", per_device_train_batch_size=500_000, max_train_steps=1)
    command = [sys.executable, "-c", LITTLE_MEMORY, *arguments(**(given | {"sequences": inputs / "long"}))]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: out of memory: lower --per_device_train_batch_size (now 500000)")


def test_empty_batches_are_counted(inputs: Path, tmp_path: Path):
    """36 rows in 64 parts."""
    distill(DistillConfig(**settings(inputs, tmp_path / "student", gradient_accumulation_steps=64)))
    counts = [row["empty_batches"] for row in read_log(tmp_path / "student")]
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert all(row["spikes"] == row["skipped_steps"] == 0 for row in read_log(tmp_path / "student"))
