"""Which checkpoint a run goes on from, through the command line of `distill`."""

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bert_distillation.checkpoints import MANIFEST, RunIdentity, find_checkpoint, read_manifest
from bert_distillation.distill import DistillConfig, distill
from bert_distillation.errors import InputError, PreemptedError
from bert_distillation.preemption import Preemption
from bert_distillation.progress import TrainingLog, read_log
from small_models import TEXTS, save, small_bert, small_sequences


@pytest.fixture(scope="module")
def sequences(tokenizer, tmp_path_factory) -> Path:
    return small_sequences(tmp_path_factory.mktemp("data") / "sequences", tokenizer, TEXTS)


@pytest.fixture(scope="module")
def teacher(tokenizer, tmp_path_factory) -> Path:
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture
def run(sequences: Path, teacher: Path, tmp_path: Path) -> Callable[..., Path]:
    """`distil` into the test's own folder."""
    return partial(distil, tmp_path, sequences=sequences, teacher=teacher)


def distil(folder: Path, name: str = "student", **settings: object) -> Path:
    """Distil for ten steps, with a checkpoint at every second, and say where the student lies."""
    shape = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_train_steps": 10}
    rates = {"learning_rate": 2e-3, "logging_steps": 3, "checkpointing_steps": 2, "keep_checkpoints": 3}
    given = {"checkpoints": folder / "checkpoints"} | shape | rates | {"mixed_precision": "no"} | settings
    distill(DistillConfig(student=folder / name, **given))
    return folder / name


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("step-*"))


def same_student(first: Path, second: Path) -> bool:
    names = ("model.safetensors", "config.json", "vocab.txt", "tokenizer.json")
    files = [name for name in names if (first / name).exists()]
    assert len(files) >= 3
    curves = [[(row["step"], row["loss"], row["spikes"]) for row in read_log(folder)] for folder in (first, second)]
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in files) and curves[0] == curves[1]


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def spoil_manifest(file: Path) -> None:
    (file.parent / MANIFEST).write_text('{"step": 10, "shape": [')


@pytest.fixture(scope="module")
def done(sequences: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its student and its checkpoints."""
    folder = tmp_path_factory.mktemp("done")
    distil(folder, sequences=sequences, teacher=teacher)
    return folder


@pytest.mark.parametrize("harm", [damage, cut_short, Path.unlink, spoil_manifest])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    harm: Callable[[Path], None], name: str, done: Path, run: Callable[..., Path], tmp_path: Path, capsys
):
    shutil.copytree(done / "checkpoints", tmp_path / "checkpoints")
    harm(checkpoints(tmp_path)[-1] / name)
    capsys.readouterr()
    student = run("again")
    told = capsys.readouterr().out
    damaged = MANIFEST if harm is spoil_manifest else name
    assert f"{checkpoints(tmp_path)[-1]} is damaged: {damaged} is " in told
    assert "going on after step 8" in told
    assert same_student(student, done / "student")


def test_dropout_accumulation_and_the_sums_of_an_unfinished_line_go_on_where_they_were(run, tmp_path: Path):
    """The log has a line at every third step, the checkpoint lies between two of them."""
    whole = run("whole", checkpoints=None, dropout=0.3)
    run(dropout=0.3)
    for newer in checkpoints(tmp_path)[-1:]:
        (newer / MANIFEST).unlink()
    assert [row["step"] for row in read_log(whole)] == [3, 6, 9, 10]
    assert same_student(run("again", dropout=0.3), whole)


def test_a_run_that_was_done_but_for_its_student_is_done_at_once(run, tmp_path: Path, capsys):
    whole = run()
    (whole / "model.safetensors").rename(tmp_path / "model.safetensors")
    capsys.readouterr()
    student = run()
    assert "step 10/10" not in capsys.readouterr().out
    assert (student / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_the_newest_is_the_one_of_the_highest_step_whatever_the_clock_says(run, tmp_path: Path, capsys):
    run()
    for age, folder in enumerate(checkpoints(tmp_path)):
        for path in (folder, *folder.iterdir()):
            os.utime(path, (1e9 - 1e6 * age, 1e9 - 1e6 * age))
    capsys.readouterr()
    run("again")
    assert "going on after step 10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"learning_rate": 1e-3}, "learning_rate was 0.002 and is now 0.001"),
        ({"max_train_steps": 11}, "last_step was 10 and is now 11"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"temperature": 3.0}, "temperature was 2.0 and is now 3.0"),
        ({"per_device_train_batch_size": 2}, "rows_per_step was 8 and is now 4"),
    ],
)
def test_checkpoints_of_another_run_are_named_passed_over_and_kept(
    settings, changed, done: Path, run, tmp_path: Path, capsys
):
    shutil.copytree(done / "checkpoints", tmp_path / "checkpoints")
    before = checkpoints(tmp_path)
    capsys.readouterr()
    run("other", **settings)
    told = capsys.readouterr().out
    assert f"belongs to another run: {changed}. It is passed over." in told
    assert "going on" not in told
    assert set(before) < set(checkpoints(tmp_path))


def test_a_teacher_that_was_changed_between_two_starts_begins_anew(run, tokenizer, tmp_path: Path, capsys):
    run()
    other = save(small_bert(seed=1), tokenizer, tmp_path / "other_teacher")
    capsys.readouterr()
    student = run("other", teacher=other)
    assert "belongs to another run: teacher was " in capsys.readouterr().out
    assert same_student(student, run("whole", teacher=other, checkpoints=None))


@pytest.mark.parametrize(
    ("before", "after"),
    [('"step": 10', '"step": 64'), ('"step": 10', '"step": 1e999'), ('"num_processes": "1"', '"num_processes": "2"')],
)
def test_a_manifest_with_another_byte_in_it_is_passed_over(
    before: str, after: str, done: Path, run, tmp_path: Path, capsys
):
    shutil.copytree(done / "checkpoints", tmp_path / "checkpoints")
    manifest = checkpoints(tmp_path)[-1] / MANIFEST
    manifest.write_text(manifest.read_text().replace(before, after))
    student = run("again")
    told = capsys.readouterr().out
    assert re.search(f"{manifest.parent} is damaged: {MANIFEST} is not what training wr(ote|ites)", told)
    assert "going on after step 8" in told
    assert same_student(student, done / "student")


def test_a_whole_checkpoint_is_not_pruned_for_a_damaged_one_of_a_later_step(done: Path, run, tmp_path: Path):
    shutil.copytree(done / "checkpoints", tmp_path / "checkpoints")
    newest, *others = reversed(checkpoints(tmp_path))
    damage(newest / "model.safetensors")
    for other in others:
        shutil.rmtree(other)
    interrupt_after(2, run, keep_checkpoints=1)
    assert [path.name[:13] for path in checkpoints(tmp_path)] == ["step-00000002", "step-00000010"]
    assert same_student(run("again", keep_checkpoints=1), done / "student")


def interrupt_after(steps: int, run: Callable[..., Path], **settings: object) -> None:
    """Run, and be told to stop after so many steps."""
    asked = iter([False] * (steps - 1) + [True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Preemption, "agreed", lambda self: next(asked))
        with pytest.raises(PreemptedError, match=f"told to stop after step {steps} of 10"):
            run("again", **settings)


def test_inputs_that_were_made_again_at_another_place_are_the_same_run(
    done: Path, sequences: Path, teacher: Path, run, tmp_path: Path, capsys
):
    shutil.copytree(sequences, tmp_path / "sequences")
    shutil.copytree(teacher, tmp_path / "teacher")
    interrupt_after(4, run)
    for name in ("sequences", "teacher"):
        (tmp_path / name / "step.json").write_text(json.dumps({"configuration": {"output": str(tmp_path)}}))
    (tmp_path / "teacher" / "training_log.jsonl").write_text('{"step": 1, "tokens_per_second": 7.5}')
    student = run("again", sequences=tmp_path / "sequences", teacher=tmp_path / "teacher")
    assert "going on after step 4" in capsys.readouterr().out
    assert same_student(student, done / "student")


def test_held_out_text_may_be_given_or_left_out_between_two_starts(done: Path, run, sequences, tmp_path: Path, capsys):
    interrupt_after(4, run)
    student = run("again", held_out=sequences)
    assert "going on after step 4" in capsys.readouterr().out
    assert same_student(student, done / "student")


def test_another_number_of_processes_is_refused_with_what_to_change(done: Path, tmp_path: Path):
    shutil.copytree(done / "checkpoints", tmp_path / "checkpoints")
    found, _ = read_manifest(checkpoints(tmp_path)[-1])
    now = RunIdentity(found.run.shape | {"rows_per_step": "16"}, found.run.split | {"num_processes": "2"})
    assert find_checkpoint(found.folder.parent, now, elastic=True) is None, "what is done is nothing to go on with"
    shutil.rmtree(found.folder)
    with pytest.raises(
        InputError, match=r"by 1 processes with 8 rows .* has 2 with 16\. Change --gradient_accumulation"
    ):
        find_checkpoint(found.folder.parent, now, elastic=True)


def test_a_run_whose_folder_was_taken_by_another_writes_nothing_more(run, tmp_path: Path):
    (tmp_path / "student").mkdir()
    with pytest.MonkeyPatch.context() as patch:

        def add(log: TrainingLog, *arguments: object, **named: object) -> None:
            (tmp_path / "checkpoints" / "run.lock").write_text('{"token": "of another"}')
            real_add(log, *arguments, **named)

        real_add = TrainingLog.add
        patch.setattr(TrainingLog, "add", add)
        with pytest.raises(InputError, match="checkpoints was taken by another run while this one stood still"):
            run()
    assert checkpoints(tmp_path) == []
    assert (tmp_path / "checkpoints" / "run.lock").read_text() == '{"token": "of another"}'


def test_the_log_of_an_earlier_run_stays_until_the_model_is_replaced(run, tmp_path: Path):
    run(checkpoints=None)
    before = {path.name: path.read_bytes() for path in (tmp_path / "student").iterdir()}
    interrupt_after(3, lambda name, **settings: run("student", checkpoints=None, seed=5, **settings))
    after = {path.name: path.read_bytes() for path in (tmp_path / "student").iterdir()}
    assert {name: after[name] for name in before} == before
    run(checkpoints=None, seed=5)
    assert {path.name for path in (tmp_path / "student").iterdir()} == set(before)


def test_settings_that_do_not_shape_the_result_may_change(run, tmp_path: Path, capsys):
    run()
    capsys.readouterr()
    run("again", logging_steps=1, checkpointing_steps=5, keep_checkpoints=1, dataloader_workers=1)
    assert "going on after step 10" in capsys.readouterr().out


def test_another_cut_of_the_same_steps_is_refused_unless_it_is_asked_for(run, tmp_path: Path):
    whole = run(dropout=0.0)
    (checkpoints(tmp_path)[-1] / MANIFEST).unlink()
    cut = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "dropout": 0.0}
    with pytest.raises(InputError, match=r"cut otherwise: gradient_accumulation_steps was 2 and is now 1.*--elastic_r"):
        run("cut", **cut)
    student = run("cut", elastic_resume=True, **cut)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, student))
    for name, tensor in first.items():
        assert tensor.sub(second[name]).abs().max() < 1e-5


def test_what_an_interrupted_start_left_half_written_is_named_and_removed(run, tmp_path: Path, capsys):
    run()
    half, rest = checkpoints(tmp_path)[-1], tmp_path / "checkpoints" / "step-00000012-00000000.partial"
    (half / MANIFEST).unlink()
    rest.mkdir()
    capsys.readouterr()
    run("again")
    told = capsys.readouterr().out
    assert f"{half} was not written to the end: passed over" in told
    assert f"{rest} was not written to the end: passed over" in told
    assert rest.is_dir(), "another run's stays"
    assert (half / MANIFEST).is_file(), "its place has been written anew"


def test_a_checkpoint_holds_no_pickled_object(run, tmp_path: Path):
    run()
    names = {path.name for path in checkpoints(tmp_path)[-1].iterdir()}
    assert names == {
        "model.safetensors",
        "optimizer.safetensors",
        "random.safetensors",
        "state.json",
        "training_log.jsonl",
        MANIFEST,
    }
    state = json.loads((checkpoints(tmp_path)[-1] / "state.json").read_text())
    assert state["schedule"]["last_epoch"] == 10
