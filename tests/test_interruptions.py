"""Killed runs go on as if nothing had happened: a short form of benchmarks/interruptions.py; and runs told to stop."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from interruptions import ONE_OF_TWO, WRITING, Run, differences, kill_once

from bert_distillation.errors import PREEMPTED
from small_models import TEXTS, save, small_bert, small_sequences

STEPS = 48
SETTINGS = ["--max_train_steps", STEPS, "--logging_steps", 3, "--checkpointing_steps", 7, "--mixed_precision", "no"]
SETTINGS += ["--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 2, "--learning_rate", 1e-3]


@pytest.fixture(scope="module")
def inputs(tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    sequences = small_sequences(folder / "sequences", tokenizer, TEXTS)
    return sequences, save(small_bert(), tokenizer, folder / "teacher")


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """Runs of one and two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    runs = {count: Run(folder / str(count), *inputs, count, SETTINGS) for count in (1, 2)}
    for run in runs.values():
        run.finish()
    return runs


@pytest.mark.parametrize("kind", [WRITING, ONE_OF_TWO])
def test_a_killed_run_ends_with_the_weights_the_log_and_the_mlflow_curve_of_one_that_was_not(
    kind: str, inputs, whole: dict[int, Run], tmp_path: Path
):
    count = 2 if kind == ONE_OF_TWO else 1
    run = Run(tmp_path / "run", *inputs, count, SETTINGS)
    kill_once(run, kind, random.Random(0), seconds=8)
    run.finish()
    assert differences(run, whole[count]) == []


def wait_for_checkpoint(run: Run, processes: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 100
    while not list(run.folder.glob("checkpoints/step-*/checkpoint.json")):
        assert processes[0].poll() is None, (run.folder / "log-0.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(("count", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_run_that_is_told_to_stop_writes_a_checkpoint_says_so_and_goes_on_from_there(
    count: int, number: int, inputs, tmp_path: Path
):
    settings = [*SETTINGS[:1], 100_000, *SETTINGS[2:], "--learning_rate", 1e-5]
    run = Run(tmp_path / "run", *inputs, count, settings)
    processes = run.start()
    wait_for_checkpoint(run, processes)
    processes[-1].send_signal(number)  # one process is told, and all stop at the same step
    assert [process.wait(60) for process in processes] == [PREEMPTED] * count
    log = (run.folder / "log-0.txt").read_text()
    told = log.splitlines()[-1]
    assert told.startswith("error: told to stop after step ")
    assert "of 100000; the same command goes on from" in told
    assert "Traceback" not in "".join(file.read_text() for file in run.folder.glob("log-*.txt"))
    step = int(told.split()[6])
    assert list(run.folder.glob(f"checkpoints/step-{step:08d}-*/checkpoint.json"))
    processes = run.start()
    deadline = time.monotonic() + 60
    while f"going on after step {step}" not in (run.folder / "log-0.txt").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in processes:
        process.kill()
        process.wait()
