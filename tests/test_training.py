"""The training loop through the command lines of `pretrain` and `distill`, with models of two to four layers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import torch
from accelerate import Accelerator
from interruptions import free_port
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from bert_distillation.distill import DistillConfig, distill
from bert_distillation.errors import InputError
from bert_distillation.hub import bert_tokenizer
from bert_distillation.packing import Packing
from bert_distillation.pretrain import PretrainConfig, pretrain
from bert_distillation.progress import TrainingLog, duration, log_line, read_log
from bert_distillation.sequences import open_sequences, read_metadata, sequence_lengths
from small_models import PIECES, save, small_bert, small_sequences, small_tokenizer

SENTENCES = [
    "paris is the capital of france .",
    "rome is the capital of italy .",
    "the old cat sleeps in the house by the lake .",
    "today is a sunny day !",
    "a bird sings at the small house .",
    "the child eats fish by the river .",
    "the river is in the large city .",
]


@pytest.fixture(scope="module")
def sequences(tokenizer, tmp_path_factory) -> Path:
    pairs = [(a, b) for a in SENTENCES for b in SENTENCES][:42]
    return small_sequences(tmp_path_factory.mktemp("data") / "sequences", tokenizer, pairs)


@pytest.fixture(scope="module")
def teacher(tokenizer, tmp_path_factory) -> Path:
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("models") / "teacher")


def distill_config(sequences: Path, teacher: Path, student: Path, **settings: object) -> DistillConfig:
    shape = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_train_steps": 12}
    rates = {"learning_rate": 2e-3, "dropout": 0.0, "logging_steps": 1, "checkpointing_steps": 5}
    return DistillConfig(
        sequences=sequences, teacher=teacher, student=student, **(shape | rates | settings), mixed_precision="no"
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def curve(folder: Path) -> list[float]:
    return [row["loss"] for row in read_log(folder)]


def test_distillation_lowers_every_loss_and_writes_a_student_that_loads(sequences, teacher, tmp_path, capsys):
    distill(distill_config(sequences, teacher, tmp_path / "student", held_out=sequences, max_train_steps=40))
    rows = read_log(tmp_path / "student")
    assert [row["step"] for row in rows] == list(range(1, 41))
    for name, share in {"loss_ce": 0.9, "loss_mlm": 0.9, "loss_cos": 0.99}.items():
        assert sum(row[name] for row in rows[-5:]) < share * sum(row[name] for row in rows[:5]), name
    student = AutoModelForMaskedLM.from_pretrained(tmp_path / "student")
    assert (student.config.model_type, student.config.n_layers) == ("distilbert", 2)
    lines = capsys.readouterr().out.splitlines()
    before, after = (float(line.split()[-2]) for line in (lines[0], lines[-1]))
    assert after < before, "held-out masked-LM loss"


def test_the_logged_loss_is_the_weighted_sum_of_its_parts(sequences, teacher, tmp_path):
    distill(distill_config(sequences, teacher, tmp_path, alpha_ce=3.0, alpha_mlm=0.5, alpha_cos=2.0, max_train_steps=2))
    for row in read_log(tmp_path):
        expected = 3 * row["loss_ce"] + 0.5 * row["loss_mlm"] + 2 * row["loss_cos"]
        assert row["loss"] == pytest.approx(expected, rel=1e-6)


def test_position_embeddings_stay_the_teachers_unless_they_are_freed(sequences, teacher, tmp_path):
    name = "distilbert.embeddings.position_embeddings.weight"
    expected = weights(teacher)["bert.embeddings.position_embeddings.weight"]
    for frozen in (True, False):
        folder = tmp_path / str(frozen)
        distill(distill_config(sequences, teacher, folder, freeze_position_embeddings=frozen, max_train_steps=2))
        assert torch.equal(weights(folder)[name], expected) is frozen


def test_accumulation_gives_the_curve_and_weights_of_one_large_batch(sequences, teacher, tmp_path):
    for batch_size, accumulation in ((8, 1), (2, 4), (1, 8)):
        shape = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": accumulation}
        distill(distill_config(sequences, teacher, tmp_path / str(batch_size), **shape))
    assert curve(tmp_path / "2") == pytest.approx(curve(tmp_path / "8"), rel=1e-4)
    assert curve(tmp_path / "1") == pytest.approx(curve(tmp_path / "8"), rel=1e-4)


def test_a_run_that_was_interrupted_ends_with_the_weights_of_one_that_was_not(sequences, teacher, tmp_path):
    settings = {"dropout": 0.1, "freeze_position_embeddings": False}
    distill(distill_config(sequences, teacher, tmp_path / "whole", **settings))
    checkpoints = tmp_path / "checkpoints"
    distill(distill_config(sequences, teacher, tmp_path / "parts", checkpoints=checkpoints, **settings))
    # As if it had been interrupted after step 10: the last checkpoint and the student are not there.
    next(checkpoints.glob("step-00000012-*/checkpoint.json")).unlink()
    (tmp_path / "parts" / "model.safetensors").unlink()
    distill(distill_config(sequences, teacher, tmp_path / "parts", checkpoints=checkpoints, **settings))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert curve(tmp_path / "parts") == pytest.approx(curve(tmp_path / "whole"), rel=1e-6)


def test_checkpoints_are_pruned_and_those_of_another_run_are_passed_over(sequences, teacher, tmp_path, capsys):
    checkpoints = tmp_path / "checkpoints"
    config = {"checkpoints": checkpoints, "checkpointing_steps": 2, "keep_checkpoints": 2, "max_train_steps": 8}
    distill(distill_config(sequences, teacher, tmp_path / "student", **config))
    assert [path.name[:13] for path in sorted(checkpoints.glob("step-*"))] == ["step-00000006", "step-00000008"]
    distill(distill_config(sequences, teacher, tmp_path / "student", temperature=3.0, **config))
    assert "belongs to another run: temperature was 2.0 and is now 3.0. It is passed over." in capsys.readouterr().out
    assert len(list(checkpoints.glob("step-*"))) == 4, "those of the other run stay"


def test_a_loss_that_is_not_finite_ends_the_run_with_the_step_and_the_way_out(sequences, teacher, tmp_path):
    with pytest.raises(InputError, match=r"The loss is (nan|inf) at step \d+ .*Lower --learning_rate"):
        distill(distill_config(sequences, teacher, tmp_path, learning_rate=1e30, warmup_ratio=0.0))
    assert not (tmp_path / "model.safetensors").exists()


def test_a_teacher_with_another_vocabulary_or_too_few_positions_is_refused(sequences, tokenizer, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocab.txt").write_text("\n".join([*PIECES[:-1], "zebra"]))
    other = save(small_bert(), bert_tokenizer(tmp_path / "words" / "vocab.txt"), tmp_path / "other")
    with pytest.raises(InputError, match=r"its vocabulary .* is not that of the sequences"):
        distill(distill_config(sequences, other, tmp_path / "student"))
    short = save(small_bert(max_position_embeddings=8), tokenizer, tmp_path / "short")
    with pytest.raises(InputError, match="the model has 8 positions"):
        distill(distill_config(sequences, short, tmp_path / "student"))
    one_text = save(small_bert(type_vocab_size=1), tokenizer, tmp_path / "one_text")
    with pytest.raises(InputError, match="teacher: its type_vocab_size is 1, and a BERT's is 2"):
        distill(distill_config(sequences, one_text, tmp_path / "student"))


def test_a_teacher_is_not_overwritten_and_an_output_that_cannot_be_made_is_found_at_once(sequences, teacher, tmp_path):
    with pytest.raises(InputError, match=r"student .* and teacher .* overlap"):
        distill_config(sequences, teacher, teacher)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"student: cannot make the folder .*file"):
        distill(distill_config(sequences, teacher, tmp_path / "file"))


def test_held_out_text_of_another_vocabulary_is_refused_before_training(sequences, teacher, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocab.txt").write_text("\n".join([*PIECES, "zebra"]))
    held_out = small_sequences(tmp_path / "held", bert_tokenizer(tmp_path / "words" / "vocab.txt"), [("a", "b")])
    with pytest.raises(InputError, match="held_out: its vocabulary"):
        distill(distill_config(sequences, teacher, tmp_path / "student", held_out=held_out))
    with pytest.raises(InputError, match="held_out: there is no folder"):
        distill(distill_config(sequences, teacher, tmp_path / "student", held_out=tmp_path / "nowhere"))


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_pretraining_from_scratch_lowers_the_loss_and_goes_on_from_its_model(architecture, sequences, tmp_path):
    shape = {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "dropout": 0.0}
    steps = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "logging_steps": 1}
    settings = {"sequences": sequences, "architecture": architecture, "learning_rate": 1e-2, **shape, **steps}
    settings["mixed_precision"] = "no"
    pretrain(PretrainConfig(model=tmp_path / "first", max_train_steps=30, **settings))
    first = curve(tmp_path / "first")
    assert first[-1] < 0.8 * first[0]
    pretrain(PretrainConfig(model=tmp_path / "second", initial_model=tmp_path / "first", max_train_steps=5, **settings))
    assert curve(tmp_path / "second")[0] < 0.8 * first[0]


def test_settings_that_cannot_work_are_refused_by_name(sequences, tmp_path):
    for settings, sentence in [
        ({"temperature": 0.0}, r"temperature must be between 0\.001 and 100, got 0\.0"),
        ({"temperature": 101.0}, r"temperature must be between 0\.001 and 100, got 101\.0"),
        ({"mlm_probability": 1.5}, "mlm_probability must be between 0 and 1, got 1.5"),
        ({"mlm_probability": 0.0}, "no token would be masked"),
        ({"alpha_ce": 0.0, "alpha_mlm": 0.0, "alpha_cos": 0.0}, "nothing would be learnt"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size must be at least 1, got 0"),
        ({"mixed_precision": "bf1"}, 'Did you mean "bf16"'),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0"),
    ]:
        with pytest.raises(InputError, match=sentence):
            DistillConfig(sequences=sequences, student=tmp_path, **settings)
    with pytest.raises(InputError, match="hidden_size 30 must be a multiple of num_attention_heads 4"):
        PretrainConfig(sequences=sequences, model=tmp_path, hidden_size=30, num_attention_heads=4)


def test_metrics_of_each_logging_step_reach_the_mlflow_run(sequences, teacher, tmp_path, monkeypatch):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    distill(distill_config(sequences, teacher, tmp_path / "student", held_out=sequences, max_train_steps=3))
    mlflow.end_run()
    history = mlflow.MlflowClient().get_metric_history(run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3]
    assert [point.value for point in history] == pytest.approx(curve(tmp_path / "student"))
    run = mlflow.get_run(run_id)
    assert {"loss_ce", "loss_mlm", "loss_cos", "learning_rate", "held_out_mlm_loss"} <= set(run.data.metrics)
    assert run.data.params["temperature"] == "2.0"


def test_two_processes_give_the_curve_and_weights_of_one_with_twice_the_batch(sequences, teacher, tmp_path):
    """As Azure's `pytorch` distribution starts them: the same command, with RANK and its kind set for each.

    Four parts of two rows make a step, and the last step of an epoch has not enough rows for all of them.
    """
    packing = Packing(sequence_lengths(open_sequences(sequences)), read_metadata(sequences).max_seq_length, seed=0)
    assert packing.num_rows % 8 not in (0, 7)
    common = ["--sequences", sequences, "--teacher", teacher, "--max_train_steps", "20", "--dropout", "0"]
    common += ["--gradient_accumulation_steps", "2", "--logging_steps", "1", "--mixed_precision", "no"]
    one = ["--per_device_train_batch_size", "4", "--student", tmp_path / "one"]
    two = ["--per_device_train_batch_size", "2", "--student", tmp_path / "two", "--checkpoints", tmp_path / "saved"]
    start_processes([*common, *one], count=1)
    start_processes([*common, *two], count=2)
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), rel=1e-5)
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=0)
    assert json.loads((tmp_path / "two" / "step.json").read_text())["step"] == "distill"
    (states,) = tmp_path.glob("saved/step-*/random.safetensors")
    assert not torch.equal(*load_file(states)["cpu"]), "each draws dropout of its own"


def start_processes(arguments: list[object], count: int) -> None:
    command = [sys.executable, "-m", "bert_distillation.distill", *map(str, arguments)]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)} if count > 1 else {}
    processes = [
        subprocess.Popen(
            command,
            env=os.environ
            | {"OMP_NUM_THREADS": "1"}
            | group
            | ({"RANK": str(r), "LOCAL_RANK": str(r)} if group else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for r in range(count)
    ]
    outputs = [process.communicate(timeout=400)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, "\n".join(outputs)


def test_a_log_line_has_units_and_both_ends():
    row = {"step": 1200, "loss": 4.812, "loss_ce": 0.41, "loss_mlm": 2.93, "loss_cos": 0.09}
    line = log_line(row | {"learning_rate": 4.1e-4, "tokens_per_second": 38_200}, 100_000, seconds_left=7_805)
    assert line == (
        "step 1200/100000 | loss 4.812 (ce 0.410 mlm 2.930 cos 0.090) | lr 4.1e-04 | 38.2k tokens/s | 2 h 10 min left"
    )
    waiting = log_line(row | {"learning_rate": 1e-4, "tokens_per_second": 1, "data_wait_share": 0.25}, 100_000, 0)
    assert waiting.endswith("0 s left | 25% of the time spent waiting for data: raise dataloader_workers")
    assert [duration(s) for s in (0, 61.5, 3600)] == ["0 s", "1 min 1 s", "1 h 0 min"]


def test_the_time_that_training_waits_for_data_is_logged(tmp_path):
    def slow() -> Iterator[int]:
        for step in range(3):
            time.sleep(0.02)
            yield step

    log = TrainingLog(tmp_path, {"mlm": 1.0})
    log.start(0, 3)
    log.restore()
    for step in log.waiting_for(slow()):
        time.sleep(0.02)
        ones = {name: torch.ones(()) for name in ("mlm", "tokens")}
        log.begin(ones["tokens"], learning_rate=1e-4)
        log.add({"mlm": torch.ones(())}, ones)
        log.write(step + 1, Accelerator(cpu=True))
    assert all(0.1 < row["data_wait_share"] < 0.9 for row in read_log(tmp_path))


def test_a_small_tokenizer_covers_the_sentences(tmp_path):
    tokenizer = small_tokenizer(tmp_path)
    assert all(tokenizer.unk_token_id not in tokenizer(text)["input_ids"] for text in SENTENCES)


@pytest.mark.parametrize(
    "settings", [{"hidden_size": 16}, {"mlm_smoothing": 0.7}, {"whole_word_masking": True}, {"layers": "0,3"}]
)
def test_the_options_of_student_and_masks_train_too(settings, sequences, teacher, tmp_path):
    distill(distill_config(sequences, teacher, tmp_path / "student", max_train_steps=30, **settings))
    rows = read_log(tmp_path / "student")
    assert sum(row["loss"] for row in rows[-5:]) < 0.97 * sum(row["loss"] for row in rows[:5])
    student = AutoModelForMaskedLM.from_pretrained(tmp_path / "student")
    assert student.config.dim == settings.get("hidden_size", 32)


def test_smoothing_and_whole_words_do_not_go_together(sequences, teacher, tmp_path):
    with pytest.raises(InputError, match=r"mlm_smoothing is 0\.7 and whole_word_masking is on: use one of the two"):
        distill_config(sequences, teacher, tmp_path, mlm_smoothing=0.7, whole_word_masking=True)
