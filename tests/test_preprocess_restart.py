"""`preprocess` killed in the middle goes on after its whole shards and ends with the files of a run that was not."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_distillation import blocks, preprocess, sequences
from bert_distillation.blocks import Block
from bert_distillation.cloze import read_cloze
from bert_distillation.errors import InputError
from bert_distillation.preprocess import PreprocessConfig
from bert_distillation.preprocess_output import JOURNAL
from bert_distillation.run_lock import RunLock
from bert_distillation.sequences import read_metadata
from small_corpus import documents, write_jsonl, write_vocabulary

KILLED = """
import os, signal, sys
from bert_distillation import blocks, preprocess, sequences
from bert_distillation.options import run_step

blocks.BLOCK_DOCUMENTS, sequences.BATCHES_PER_SHARD = 4, 3
in_order, after = preprocess.make_in_order, int(sys.argv.pop(1))

def killed(recipe, some, workers):
    for number, made in enumerate(in_order(recipe, some, workers)):
        if number == after:
            os.kill(os.getpid(), signal.SIGKILL)
        yield made

preprocess.make_in_order = killed
run_step(preprocess.PreprocessConfig, preprocess.preprocess, sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 4)
    monkeypatch.setattr(sequences, "BATCHES_PER_SHARD", 3)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    texts = documents(200)
    write_jsonl(folder / "corpus" / "a.jsonl", texts)
    write_vocabulary(folder / "vocabulary", texts)
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """The blocks that were made into sequences."""
    found: list[Block] = []
    in_order = preprocess.make_in_order

    def noted(recipe: object, some: Iterator[Block], workers: int) -> Iterator[object]:
        def note() -> Iterator[Block]:
            for block in some:
                found.append(block)
                yield block

        return in_order(recipe, note(), workers)

    monkeypatch.setattr(preprocess, "make_in_order", noted)
    return found


def given(inputs: Path, output: Path) -> dict[str, object]:
    folders = {name: output / name for name in ("sequences", "held_out", "test_data")}
    sources = {"corpus": inputs / "corpus", "tokenizer": inputs / "vocabulary"}
    return folders | sources | {"max_seq_length": 32, "held_out_fraction": 0.2, "num_workers": 1}


def kill(inputs: Path, output: Path, after: int) -> None:
    arguments = [part for name, value in given(inputs, output).items() for part in (f"--{name}", str(value))]
    done = subprocess.run([sys.executable, "-c", KILLED, str(after), *arguments], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr


def run(inputs: Path, output: Path) -> None:
    preprocess.preprocess(PreprocessConfig(**given(inputs, output)))


def contents(output: Path) -> dict[str, bytes]:
    """All files but `step.json`, which says where they lie."""
    files = [path for path in output.rglob("*") if path.is_file() and path.name != "step.json"]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_DOCUMENTS", 4)
        patch.setattr(sequences, "BATCHES_PER_SHARD", 3)
        run(inputs, output)
    assert len([name for name in contents(output) if name.endswith(".arrow")]) > 10
    return contents(output)


@pytest.mark.parametrize("after", [2, 17, 33])
def test_a_killed_run_goes_on_after_its_whole_shards_and_ends_with_the_same_files(
    after: int, inputs: Path, whole: dict[str, bytes], made: list[Block], tmp_path: Path, capsys
):
    kill(inputs, tmp_path, after)
    assert not list(tmp_path.rglob("metadata.json"))
    run(inputs, tmp_path)
    assert contents(tmp_path) == whole
    printed = capsys.readouterr().out
    both = [read_metadata(tmp_path / name) for name in ("sequences", "held_out")]
    assert f"-> {sum(of.sequences for of in both)} sequences of" in printed, "of all, not of the rest alone"
    all_blocks = len(list(blocks.make_blocks(documents(200), 0.2)))
    if after == 2:
        assert len(made) == all_blocks, "no shard was whole"
    else:
        assert all_blocks - after <= len(made) <= all_blocks - after + 2 * 3, "at most the two open shards again"
        assert "going on after" in printed


def test_killed_again_and_again_it_still_ends_with_the_same_files(
    inputs: Path, whole: dict[str, bytes], tmp_path: Path
):
    for after in (14, 11):
        kill(inputs, tmp_path, after)
    run(inputs, tmp_path)
    assert contents(tmp_path) == whole


@pytest.fixture(scope="module")
def killed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves that was killed after 33 blocks."""
    output = tmp_path_factory.mktemp("killed")
    kill(inputs, output, 33)
    return output


def test_no_folder_of_a_killed_run_is_taken_for_a_whole_one(killed: Path, inputs: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"test_data holds no \.jsonl, \.json, \.csv or \.tsv file"):
        read_cloze(killed / "test_data", "[MASK]")
    kill(inputs, tmp_path, 2)  # before a shard was whole
    with pytest.raises(InputError, match=r"sequences is half-written: metadata\.json is missing"):
        read_metadata(tmp_path / "sequences")


@pytest.mark.parametrize("name", ["test_data.jsonl.partial", "test_data.jsonl"])  # the second where it was completing
def test_the_test_data_that_a_killed_run_left_are_gone_on_with(
    name: str, inputs: Path, killed: Path, whole: dict[str, bytes], tmp_path: Path, capsys
):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    (tmp_path / "test_data" / "test_data.jsonl.partial").replace(tmp_path / "test_data" / name)
    run(inputs, tmp_path)
    assert "going on after" in capsys.readouterr().out
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("change", ["text", "setting", "shard", "journal", "test data"])
def test_what_does_not_fit_what_is_there_begins_anew(
    change: str, inputs: Path, killed: Path, whole: dict[str, bytes], made: list[Block], tmp_path: Path, capsys
):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    if change == "text":
        shutil.copytree(inputs, tmp_path / "inputs")
        os.utime(tmp_path / "inputs" / "corpus" / "a.jsonl", (1, 1))
        inputs = tmp_path / "inputs"
    elif change == "setting":
        with (tmp_path / "sequences" / JOURNAL).open("r+") as stream:
            text = stream.read().replace('"settings": "', '"settings": "another ')
            stream.seek(0)
            stream.write(text)
    elif change == "shard":
        file = next((tmp_path / "sequences").glob("*.arrow"))
        file.write_bytes(file.read_bytes()[:-8] + b"spoiled!")
    elif change == "journal":
        (tmp_path / "sequences" / JOURNAL).write_text('{"identity": [[[')
    else:
        (tmp_path / "test_data" / "test_data.jsonl.partial").write_text("")
    run(inputs, tmp_path)
    assert "going on after" not in capsys.readouterr().out
    assert len(made) == len(list(blocks.make_blocks(documents(200), 0.2)))
    shutil.rmtree(tmp_path / "inputs", ignore_errors=True)
    assert contents(tmp_path) == whole


def test_a_start_that_is_refused_holds_no_folder(inputs: Path, tmp_path: Path):
    (tmp_path / "held_out").mkdir()
    with RunLock(tmp_path / "held_out", beat_seconds=0.1):
        with pytest.raises(InputError, match="held_out is being written by another run"):
            run(inputs, tmp_path)
        assert list(tmp_path.rglob("run.lock")) == [tmp_path / "held_out" / "run.lock"]
    assert not list(tmp_path.rglob("run.lock"))
