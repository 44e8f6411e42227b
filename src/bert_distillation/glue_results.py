"""What fine-tuning came to: metrics.json, and the predictions of each validation split."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bert_distillation.checkpoints import RunIdentity
from bert_distillation.glue import Task, metric_of_split
from bert_distillation.results import GLUE_METRICS
from bert_distillation.tracking import write_json

SEED_FILE = "finished.json"
Results = dict[str, tuple[np.ndarray, np.ndarray]]  # validation split -> (predictions, labels), in the file's order


@dataclass(frozen=True)
class SeedRun:
    """Fine-tuning with one seed."""

    seed: int
    results: Results
    metrics: dict[str, float]
    train_samples: int
    train_seconds: float


def write_results(folder: Path, task: Task, runs: Sequence[SeedRun], malformed: dict[str, int]) -> dict[str, float]:
    """Write metrics.json and the first seed's predictions; the metrics are means over the seeds.

    Of several seeds also each one's metrics (`seeds`) and the standard deviation of a seed (`deviations`) are written.
    """
    first = runs[0]
    names = list(first.metrics)
    values = {name: np.array([run.metrics[name] for run in runs]) for name in names}
    metrics = {name: float(values[name].mean()) for name in names}
    record: dict[str, Any] = {
        "task": task.name,
        "headline": task.headline,
        "metrics": metrics,
        "train_samples": first.train_samples,
        "validation_samples": {split: len(labels) for split, (_, labels) in first.results.items()},
        "malformed_rows": malformed,  # of each split
        "seed": first.seed,
        "train_seconds": round(sum(run.train_seconds for run in runs), 3),
    }
    if len(runs) > 1:
        record["seeds"] = [{"seed": run.seed, "metrics": run.metrics} for run in runs]
        record["deviations"] = {name: float(values[name].std(ddof=1)) for name in names}
    for split, (predictions, labels) in first.results.items():
        write_predictions(folder / f"{metric_of_split('predictions', split)}.tsv", task, predictions, labels)
    write_json(folder / GLUE_METRICS, record)
    spread = {name: f" +- {record['deviations'][name]:.4f}" if len(runs) > 1 else "" for name in names}
    told = ", ".join(f"{name} {value:.4f}{spread[name]}" for name, value in metrics.items())
    print(f"{task.folder}: {told}" + (f" over {len(runs)} seeds" if len(runs) > 1 else ""), flush=True)
    return metrics


def write_seed_run(folder: Path, run: RunIdentity, done: SeedRun) -> None:
    """Keep a finished seed, so that a restart need not fine-tune it again."""
    results = {split: [array.tolist() for array in arrays] for split, arrays in done.results.items()}
    write_json(folder / SEED_FILE, {"shape": run.shape, "split": run.split, "run": vars(done) | {"results": results}})


def read_seed_run(folder: Path, run: RunIdentity) -> SeedRun | None:
    """A seed that the same run has finished before, if there is one."""
    try:
        content = json.loads((folder / SEED_FILE).read_text(encoding="utf-8"))
        if (content["shape"], content["split"]) != (run.shape, run.split):
            return None
        done = SeedRun(**content["run"])
        results = {split: (np.array(values), np.array(labels)) for split, (values, labels) in done.results.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return replace(done, results=results)


def write_predictions(path: Path, task: Task, predictions: np.ndarray, labels: np.ndarray) -> None:
    """index, prediction and label of each validation row that could be read, in the words of GLUE's files."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def written(value: Any) -> str:
        return f"{float(value):.4f}" if task.is_regression else task.file_labels[int(value)]

    with path.open("w", encoding="utf-8") as stream:
        stream.write("index\tprediction\tlabel\n")
        for index, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
            stream.write(f"{index}\t{written(prediction)}\t{written(label)}\n")
