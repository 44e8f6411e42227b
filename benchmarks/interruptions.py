"""Kill a distillation at random moments, start it again, and compare with the run that was never interrupted.

    python benchmarks/interruptions.py [--kills 20] [--seed 0] [--folder DIR]

A small teacher is made from the sample data. Then one run of one process and one of two go through undisturbed; these
are what the others must equal: every byte of the weights, and every loss of the log and of the MLflow run, each step
once. A third of the kills falls anywhere, a third while a checkpoint is written, and a third hits one of two processes.
The exit status is 1 if anything differs.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow

ROOT = Path(__file__).resolve().parents[1]
STEPS = 60
SETTINGS = ["--max_train_steps", STEPS, "--logging_steps", 5, "--checkpointing_steps", 7, "--mixed_precision", "no"]
SETTINGS += ["--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 2, "--learning_rate", 1e-3]
SMALL = ["--num_layers", 4, "--hidden_size", 64, "--num_attention_heads", 4, "--intermediate_size", 128]
ANYWHERE, WRITING, ONE_OF_TWO = "anywhere", "while a checkpoint is written", "one of two processes"
KINDS = (ANYWHERE, WRITING, ONE_OF_TWO)
PATIENCE = 120  # seconds for a run
LAUNCHER_PATIENCE = 20  # and for the processes that are left


@dataclass
class Run:
    """A distillation: its folder, its number of processes and its MLflow run."""

    folder: Path
    sequences: Path
    teacher: Path
    count: int
    settings: list[object]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.store = f"sqlite:///{self.folder}/mlflow.db"
        self.run_id = mlflow.MlflowClient(self.store).create_run("0").info.run_id

    def start(self) -> list[subprocess.Popen]:
        """The processes, as Azure's `pytorch` distribution starts them."""
        command = [sys.executable, "-m", "bert_distillation.distill", "--sequences", self.sequences]
        command += ["--teacher", self.teacher, "--student", self.folder / "student"]
        command += ["--checkpoints", self.folder / "checkpoints", *self.settings]
        shared = os.environ | {"MLFLOW_TRACKING_URI": self.store, "MLFLOW_RUN_ID": self.run_id, "OMP_NUM_THREADS": "1"}
        if self.count > 1:
            shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(self.count)}
        processes = []
        for rank in range(self.count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if self.count > 1 else {}
            with (self.folder / f"log-{rank}.txt").open("a") as log:
                processes.append(
                    subprocess.Popen(list(map(str, command)), env=shared | own, stdout=log, stderr=subprocess.STDOUT)
                )
        return processes

    def finish(self) -> None:
        """Start, and wait for a good end."""
        statuses = [process.wait(PATIENCE) for process in self.start()]
        if any(statuses):
            raise SystemExit(f"{self.folder} ended with {statuses}:\n{(self.folder / 'log-0.txt').read_text()[-2000:]}")

    def weights(self) -> bytes:
        """The student's."""
        return (self.folder / "student" / "model.safetensors").read_bytes()

    def curve(self) -> list[tuple[int, float]]:
        """(step, loss) of the log."""
        rows = (self.folder / "student" / "training_log.jsonl").read_text().splitlines()
        return [(row["step"], row["loss"]) for row in map(json.loads, rows)]

    def mlflow_curve(self) -> list[tuple[int, float]]:
        """(step, loss) of the MLflow run, as its store has them."""
        history = mlflow.MlflowClient(self.store).get_metric_history(self.run_id, "loss")
        return sorted((point.step, point.value) for point in history)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def kill_once(run: Run, kind: str, draw: random.Random, seconds: float) -> str:
    """Start the run and kill it at a random moment of its `seconds`; says where it was."""
    processes = run.start()
    start = time.monotonic()
    checkpoints = run.folder / "checkpoints"
    if kind == WRITING:
        wanted = draw.randint(1, 6)  # this many checkpoints are written before the one that is cut off
        while not (is_writing(checkpoints, wanted) or processes[0].poll() is not None):
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.02))
    else:
        time.sleep(draw.uniform(0.3, 1.0) * seconds)
    victims = [draw.choice(processes)] if kind == ONE_OF_TWO else processes
    for process in victims:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        try:  # the one that is left sees that the other is gone, and ends
            process.wait(LAUNCHER_PATIENCE)
        except subprocess.TimeoutExpired:  # while it starts it would wait for half an hour: a launcher ends it
            process.kill()
            process.wait()
    steps = sorted(path.parent.name for path in checkpoints.glob("step-*/checkpoint.json"))
    half = [path.name for path in checkpoints.glob("step-*") if not (path / "checkpoint.json").is_file()]
    where = f"after {time.monotonic() - start:.1f} s, newest checkpoint {steps[-1][5:13] if steps else 'none'}"
    return where + (f", {half[0]} half-written" if half else "")


def is_writing(checkpoints: Path, after: int) -> bool:
    """Whether a checkpoint is being written, the first after so many or a later one."""
    return any(int(path.name[5:13]) > 7 * after for path in checkpoints.glob("step-*.partial"))


def differences(run: Run, whole: Run) -> list[str]:
    """What of a run is not as in the one that was not interrupted."""
    found = []
    if run.weights() != whole.weights():
        found.append("weights")
    if run.curve() != whole.curve():
        found.append("log")
    if run.mlflow_curve() != whole.curve():
        found.append("MLflow curve")
    return found


def prepare(folder: Path) -> tuple[Path, Path]:
    """Sequences and a small teacher of the sample data."""
    sequences, teacher = folder / "sequences", folder / "teacher"
    step = [sys.executable, "-m"]
    preprocess = ["bert_distillation.preprocess", "--corpus", ROOT / "sample_data" / "corpus"]
    preprocess += ["--tokenizer", ROOT / "sample_data" / "tokenizer", "--max_seq_length", 64]
    preprocess += ["--sequences", sequences, "--held_out", folder / "held_out", "--test_data", folder / "test_data"]
    pretrain = ["bert_distillation.pretrain", "--sequences", sequences, "--model", teacher, *SMALL]
    pretrain += ["--max_train_steps", 5, "--gradient_accumulation_steps", 1, "--mixed_precision", "no"]
    for command in (preprocess, pretrain):
        subprocess.run(list(map(str, step + command)), check=True, stdout=subprocess.DEVNULL)
    return sequences, teacher


def main() -> int:
    """Make the runs, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for the runs; a temporary one if it is not given")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        sequences, teacher = prepare(folder)
        whole, seconds = {}, {}
        for count in (1, 2):
            start = time.monotonic()
            whole[count] = Run(folder / f"whole-{count}", sequences, teacher, count, SETTINGS)
            whole[count].finish()
            seconds[count] = time.monotonic() - start
        for number in range(options.kills):
            kind = KINDS[number % len(KINDS)]
            count = 2 if kind == ONE_OF_TWO else 1
            run = Run(folder / f"run-{number}", sequences, teacher, count, SETTINGS)
            where = kill_once(run, kind, draw, seconds[count])
            run.finish()
            found = differences(run, whole[count])
            bad += bool(found)
            print(f"{number + 1} of {options.kills} | {kind} | {where} | {', '.join(found) or 'equal'}", flush=True)
    print(f"{options.kills - bad} of {options.kills} ended as the run that was not interrupted")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
