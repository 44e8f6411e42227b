"""Sweeps, and limits of time."""

from azure.ai.ml.entities import CommandJobLimits
from azure.ai.ml.sweep import Choice

from operations.jobs import builder, run
from operations.table import Session, operation

TRIAL = "python -c 'import mlflow; mlflow.log_metric(\"loss\", ${{inputs.x}})'"


@operation("jobs.create_or_update of a sweep")
def sweep(session: Session) -> None:
    trial = builder(session, TRIAL, inputs={"x": 1})
    job = trial(x=Choice([2, 1])).sweep(sampling_algorithm="grid", primary_metric="loss", goal="minimize")
    job.set_limits(max_total_trials=2, max_concurrent_trials=2)
    job.experiment_name = "operations"
    job = run(session, job)
    assert job.status == "Completed"
    session.made["sweep"] = job.name


@operation("jobs.list of the trials of a sweep")
def list_trials(session: Session) -> None:
    trials = list(session.client.jobs.list(parent_job_name=session.made["sweep"]))
    assert len(trials) == 2
    best = session.client.jobs.get(session.made["sweep"]).properties["best_child_run_id"]
    assert best in [trial.name for trial in trials]


@operation("jobs.create_or_update with a limit of time")
def limit(session: Session) -> None:
    job = builder(session, "sleep 60")
    job.limits = CommandJobLimits(timeout=1)
    assert run(session, job).status in ("Failed", "Canceled")
