"""What only Azure ML does: the workspace says so, and by name."""

from collections.abc import Callable

from azure.ai.ml import Input, automl, load_job, spark
from azure.ai.ml.entities import BatchEndpoint, CronTrigger, JobSchedule
from azure.core.exceptions import HttpResponseError

from operations.table import Session, operation, raises


def refused(what: str, action: Callable[[], object]) -> None:
    """Check that the action is answered with 501 and a sentence that says what is not spoken."""
    error = raises(HttpResponseError, action)
    assert error.status_code == 501, error
    assert "The local workspace does not speak" in str(error)
    assert what in str(error)


@operation("batch_endpoints are refused")
def refuse_batch_endpoints(session: Session) -> None:
    batch = session.client.batch_endpoints
    refused("batch endpoints", lambda: list(batch.list()))
    refused("batch endpoints", lambda: batch.begin_create_or_update(BatchEndpoint(name=session.name("batch"))).result())


@operation("schedules are refused")
def refuse_schedules(session: Session) -> None:
    refused("schedules", lambda: list(session.client.schedules.list()))
    job = load_job(session.folder / "pipeline/pipeline.yml")
    trigger = CronTrigger(expression="0 0 * * *")
    schedule = JobSchedule(name=session.name("daily"), trigger=trigger, create_job=job)
    refused("schedules", lambda: session.client.schedules.begin_create_or_update(schedule).result())


@operation("registries are refused")
def refuse_registries(session: Session) -> None:
    refused("registries", lambda: session.client.registries.get("azureml"))


@operation("connections are refused")
def refuse_connections(session: Session) -> None:
    refused("connections", lambda: list(session.client.connections.list()))


@operation("AutoML jobs are refused")
def refuse_automl(session: Session) -> None:
    table = Input(type="mltable", path=f"azureml:{session.name('table')}:2024")
    job = automl.classification(training_data=table, target_column_name="country", compute="any-cluster")
    refused('"AutoML"', lambda: session.client.jobs.create_or_update(job))


@operation("Spark jobs are refused")
def refuse_spark(session: Session) -> None:
    session.write("spark/main.py", "")
    job = spark(
        code=str(session.folder / "spark"),
        entry={"file": "main.py"},
        driver_cores=1,
        driver_memory="1g",
        executor_cores=1,
        executor_instances=1,
        executor_memory="1g",
        resources={"instance_type": "standard_e4s_v3", "runtime_version": "3.3"},
    )
    refused('"Spark"', lambda: session.client.jobs.create_or_update(job))


@operation("jobs.begin_delete is refused")
def refuse_delete(session: Session) -> None:
    refused("jobs", lambda: session.client.jobs.begin_delete(session.made["job"]).wait())
