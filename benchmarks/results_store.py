"""What the runs of pipelines/ablation.yml and from_scratch.yml have logged, read from their MLflow store."""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_distillation.comparison import VARIANTS
from bert_distillation.glue import TASKS

CURVES = ("loss_mlm", "loss")  # of a training run: the first that it has
POINTS = 200  # of a curve
SETTINGS = ("max_train_steps", "per_device_train_batch_size", "learning_rate", "seed", "mixed_precision", "dropout")
SIZE = ("num_layers", "hidden_size", "torch_compile")  # of a job whose size is its own
FINETUNING = ("max_train_samples", "num_train_epochs", "learning_rate", "num_seeds", "seed")


def read_store(job: str) -> dict[str, Any]:
    """What the runs of the job have logged."""
    client, runs = open_runs(job)
    if "compare" not in runs or not runs["compare"].data.metrics:
        raise SystemExit(f"error: job {job} has no run `compare` with metrics.")
    finetuning = {}
    for variant in VARIANTS:
        tasks = [runs[f"measure_{variant}.{task}"] for task in TASKS if f"measure_{variant}.{task}" in runs]
        finetuning[variant] = settings(tasks[0], FINETUNING) if tasks else {}
    training = {variant: read_training(client, runs, variant, job) for variant in VARIANTS}
    return {"job": job, "metrics": runs["compare"].data.metrics, "training": training, "finetuning": finetuning}


def open_runs(job: str) -> tuple[Any, dict[str, Any]]:
    """The store of the environment, and the job's runs by their names, those in a graph as `graph.node`."""
    import mlflow

    client = mlflow.MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`mlflow.rootRunId` = '{job}'", max_results=1000)
    if not found:
        raise SystemExit(f"error: {mlflow.get_tracking_uri()} has no runs of job {job}.")
    return client, {_full_name(run, {run.info.run_id: run for run in found}, job): run for run in found}


def _full_name(run: Any, runs: Mapping[str, Any], job: str) -> str:
    name, parent = run.data.tags["mlflow.runName"], runs.get(run.data.tags.get("mlflow.parentRunId"))
    if parent is None or parent.info.run_id == job or "." in name:  # the last: runs that were named so
        return str(name)
    return f"{_full_name(parent, runs, job)}.{name}"


def read_training(client: Any, runs: Mapping[str, Any], variant: str, job: str) -> dict[str, Any]:
    """How a model was trained, how fast, and its losses."""
    run = runs.get(variant)
    if run is None or "loss" not in run.data.metrics:
        raise SystemExit(f"error: the run {variant} of job {job} has no losses.")
    name = next(name for name in CURVES if name in run.data.metrics)
    history = client.get_metric_history(run.info.run_id, name)
    rates = client.get_metric_history(run.info.run_id, "tokens_per_second")
    return {
        "settings": settings(run, SETTINGS),
        "tokens_per_second": sorted(rate.value for rate in rates)[len(rates) // 2],
        "held_out_mlm_loss": run.data.metrics.get("held_out_mlm_loss"),
        "curve": [[point.step, point.value] for point in history][:: max(1, len(history) // POINTS)],
    }


def settings(run: Any, names: Sequence[str]) -> dict[str, str]:
    """Some of the parameters that a run has logged."""
    return {name: run.data.params[name] for name in names if name in run.data.params}


def read_again(job: str, first: Mapping[str, Any]) -> dict[str, Any]:
    """What another job has of the models that it trained or fine-tuned in another way than the first one."""
    found = read_store(job)
    other = [
        variant
        for variant in VARIANTS
        if found["training"][variant]["settings"] != first["training"][variant]["settings"]
        or found["finetuning"][variant] != first["finetuning"][variant]
    ]
    if not other:
        raise SystemExit(f"error: job {job} trained and fine-tuned all models as job {first['job']} did.")
    return {
        "job": job,
        "metrics": {
            name: value for name, value in found["metrics"].items() if any(belongs(name, own) for own in other)
        },
        "training": {variant: found["training"][variant] for variant in other},
        "finetuning": {variant: found["finetuning"][variant] for variant in other},
    }


def belongs(name: str, variant: str) -> bool:
    """Whether a metric is the variant's, and not one's whose name begins alike."""
    longer = [other for other in VARIANTS if other.startswith(variant) and other != variant]
    return name.startswith(f"{variant}_") and not any(name.startswith(f"{other}_") for other in longer)


def read_from_scratch(job: str) -> dict[str, Any]:
    """What a job of pipelines/from_scratch.yml has: how teacher and student were trained."""
    client, runs = open_runs(job)
    training = {name: read_training(client, runs, name, job) for name in ("pretrain", "distill")}
    for name, own in training.items():
        own["settings"] |= settings(runs[name], SIZE)
    return {"job": job, "training": training}
