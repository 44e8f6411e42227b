"""Fine-tuning that was interrupted ends with the classifier and the metrics of one that was not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
import torch
from interruptions import free_port
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast, TrainerCallback

from bert_distillation import finetune_trainer, mlflow_run
from bert_distillation.checkpoints import MANIFEST, RunIdentity, checksum_of, read_manifest
from bert_distillation.errors import InputError, PreemptedError
from bert_distillation.finetune import FinetuneConfig, finetune
from bert_distillation.finetune_trainer import newest_checkpoint
from bert_distillation.glue import TASKS
from bert_distillation.glue_results import SEED_FILE
from small_glue import write_task
from small_models import save, small_bert

SETTINGS = {"learning_rate": 2e-3, "per_device_train_batch_size": 8, "max_seq_length": 32, "mixed_precision": "no"}
SETTINGS |= {"num_train_epochs": 4, "checkpointing_steps": 3, "num_seeds": 2, "keep_checkpoints": 2}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_task(TASKS["sst2"], folder / "glue", train_rows=60, dev_rows=23)
    save(small_bert(), tokenizer, folder / "model")
    return folder


def run(inputs: Path, output: Path, **settings: object) -> Path:
    names = ("classifier", "metrics", "checkpoints")
    folders = {"model": inputs / "model", "glue": inputs / "glue"} | {name: output / name for name in names}
    finetune(FinetuneConfig(task="sst2", **(folders | SETTINGS | settings)))
    return output


def results(output: Path) -> dict[str, object]:
    record = json.loads((output / "metrics" / "metrics.json").read_text())
    record.pop("train_seconds")
    predictions = (output / "metrics" / "predictions.tsv").read_text()
    return record | {
        "predictions": predictions,
        "weights": (output / "classifier" / "model.safetensors").read_bytes(),
    }


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return results(run(inputs, tmp_path_factory.mktemp("whole"), checkpoints=None))


class Crash(TrainerCallback):
    """Ends a run at a step of its n-th seed, as a node that is taken away does."""

    seeds = 0

    def __init__(self, seed: int, step: int):
        self.seed, self.step = seed, step

    def on_train_begin(self, args: object, state: object, control: object, **_: object) -> None:
        self.seeds += 1

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        if (self.seeds, state.global_step) == (self.seed, self.step):
            raise RuntimeError("taken away")


def crash(seed: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, callback = finetune_trainer.make_trainer, Crash(seed, step)

    def with_crash(*arguments: object) -> object:
        trainer = made(*arguments)
        trainer.add_callback(callback)
        return trainer

    monkeypatch.setattr("bert_distillation.finetune.make_trainer", with_crash)


@pytest.mark.parametrize(
    ("seed", "step", "goes_on_after"), [(1, 2, 0), (1, 14, 12), (1, 17, 15), (2, 10, 9), (2, 25, 24)]
)
def test_it_goes_on_from_the_newest_checkpoint_of_its_seed_in_any_epoch(
    seed: int, step: int, goes_on_after: int, inputs: Path, whole: dict, tmp_path: Path, capsys
):
    """Eight steps are an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        crash(seed, step, patch)
        with pytest.raises(RuntimeError, match="taken away"):
            run(inputs, tmp_path)
    assert not (tmp_path / "metrics" / "metrics.json").exists()
    capsys.readouterr()
    assert results(run(inputs, tmp_path)) == whole
    told = capsys.readouterr().out
    assert (f"going on after step {goes_on_after}" in told) is (goes_on_after > 0)


def test_a_seed_that_was_done_is_not_fine_tuned_again(inputs: Path, whole: dict, tmp_path: Path, capsys):
    run(inputs, tmp_path)
    shutil.rmtree(tmp_path / "metrics")
    shutil.rmtree(tmp_path / "classifier")
    capsys.readouterr()
    assert results(run(inputs, tmp_path)) == whole
    assert "seed 1 was done before the interruption" in capsys.readouterr().out


def test_other_settings_begin_anew(inputs: Path, tmp_path: Path, capsys):
    run(inputs, tmp_path)
    capsys.readouterr()
    changed = results(run(inputs, tmp_path, learning_rate=1e-3))
    told = capsys.readouterr().out
    assert "belongs to another run: learning_rate was 0.002 and is now 0.001. It is passed over." in told
    assert "was done before" not in told
    assert changed == results(run(inputs, tmp_path / "anew", learning_rate=1e-3, checkpoints=None))


def test_told_to_stop_it_writes_a_checkpoint_and_says_so(
    inputs: Path, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = iter([False] * 4 + [True] * 100)
    with monkeypatch.context() as patch:
        patch.setattr(finetune_trainer.Preemption, "agreed", lambda self: next(asked))
        with pytest.raises(PreemptedError, match="told to stop after step 5 of 32; the same command goes on"):
            run(inputs, tmp_path)
    assert list((tmp_path / "checkpoints" / "seed-0").glob("step-00000005-*/checkpoint.json"))
    assert results(run(inputs, tmp_path)) == whole


def test_the_curve_in_mlflow_is_one(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    curves, new_client = [], mlflow.MlflowClient
    for name, interruptions in (("whole", ()), ("interrupted", (7, 14, 20))):
        store = f"sqlite:///{tmp_path}/{name}.db"
        client = new_client(store)
        monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)
        monkeypatch.setattr(mlflow, "MlflowClient", lambda *_, client=client: client)
        monkeypatch.setattr(mlflow_run, "_logs", {})
        for step in interruptions:
            with pytest.MonkeyPatch.context() as patch:
                crash(1, step, patch)
                with pytest.raises(RuntimeError, match="taken away"):
                    run(inputs, tmp_path / name, num_seeds=1)
        run(inputs, tmp_path / name, num_seeds=1)
        (found,) = client.search_runs(["0"])
        history = client.get_metric_history(found.info.run_id, "loss")
        curves.append([(point.step, point.value) for point in history])
    assert len(curves[0]) == 32
    assert curves[0] == curves[1]


def test_another_number_of_processes_is_refused_without_a_flag_that_finetune_has_not(inputs: Path, tmp_path: Path):
    run(inputs, tmp_path)
    folder = tmp_path / "checkpoints" / "seed-0"
    written = read_manifest(next(folder.glob("step-*")))[0].run
    with pytest.raises(InputError, match=r"num_processes was 1 and is now 2.*give the old number of processes, or"):
        newest_checkpoint(folder, RunIdentity(written.shape, {"num_processes": "2"}))


BLIND = """
import os
from bert_distillation import finetune, finetune_trainer
if os.environ["RANK"] == "1":
    finetune.read_seed_run = finetune_trainer.find_checkpoint = lambda *_, **__: None
finetune.run_step(finetune.FinetuneConfig, finetune.finetune)
"""


def test_a_process_that_does_not_see_the_files_yet_goes_on_with_the_first(inputs: Path, whole: dict, tmp_path: Path):
    """A run that was done, of two processes: the second is on a node that sees what the first wrote late."""
    run(inputs, tmp_path, num_train_epochs=4.0)
    for manifest in (tmp_path / "checkpoints").rglob(MANIFEST):
        content = json.loads(manifest.read_text()) | {"split": {"num_processes": "2"}}
        content.pop("sha256")
        manifest.write_text(json.dumps(content | {"sha256": checksum_of(content)}))
    for seed in (tmp_path / "checkpoints").rglob(SEED_FILE):
        seed.write_text(json.dumps(json.loads(seed.read_text()) | {"split": {"num_processes": "2"}}))
    (tmp_path / "metrics" / "metrics.json").unlink()
    folders = {"model": inputs / "model", "glue": inputs / "glue"}
    folders |= {name: tmp_path / name for name in ("classifier", "metrics", "checkpoints")}
    given = [part for name, value in (folders | SETTINGS).items() for part in (f"--{name}", str(value))]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BLIND, "--task", "sst2", *given],
            env=os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        first, second = (process.communicate(timeout=100)[0] for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    assert "going on after step 32" in first
    assert "seed 1 was done before the interruption" in first
    assert second == ""
    assert results(tmp_path) == whole


def test_a_loss_that_is_no_number_ends_it_before_it_becomes_a_checkpoint(inputs: Path, tmp_path: Path):
    settings = {"learning_rate": 1e30, "warmup_ratio": 0.0, "num_seeds": 1, "checkpointing_steps": 1}
    with pytest.raises(InputError, match=r"not finite|loss is nan.* give a lower --learning_rate"):
        run(inputs, tmp_path, **settings)
    for checkpoint in (tmp_path / "checkpoints").rglob("model.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(checkpoint).values()), checkpoint


def test_weights_that_are_no_numbers_do_not_become_a_checkpoint(tmp_path: Path):
    model, state = torch.nn.Linear(2, 2), SimpleNamespace(global_step=3, is_world_process_zero=True)
    trainer = SimpleNamespace(args=SimpleNamespace(learning_rate=0.5))
    watch = finetune_trainer.Interruptions(trainer, tmp_path, RunIdentity({}, {}), 1, None)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"The weights are not finite after step 3 \(learning rate 5\.0e-01\)"):
        watch.on_save(None, state, None, model=model)


@pytest.mark.parametrize(
    ("examples", "share", "steps"), [(8, 0.1, 0), (8, 1.0, 0), (80, 0.1, 1), (80, 1.0, 9), (81, 0.05, 1)]
)
def test_the_last_step_is_never_of_the_warm_up(examples: int, share: float, steps: int):
    config = SimpleNamespace(per_device_train_batch_size=8, num_train_epochs=1, warmup_ratio=share)
    assert finetune_trainer.warmup_steps(config, examples) == steps
