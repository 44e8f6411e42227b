"""The jobs of a workspace: what was submitted, what has become of it, and where its outputs are."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azureml_local.assets import OUTPUT_PATH, Assets
from azureml_local.blobs import ARTIFACTS, BLOBSTORE, Blobs
from azureml_local.changes import FINAL, JobChange
from azureml_local.engine import Engine
from azureml_local.home import Home
from azureml_local.job_bodies import pipeline_of
from azureml_local.live_log import LiveLog
from azureml_local.spec import Pipeline
from azureml_local.store import Resource, Store

JOBS = "jobs"  # what was submitted: pipelines and stand-alone jobs, as the SDK sent them
RUNS = "runs"  # what has become of each job, nodes included
ARTIFACT_PATH = "ExperimentRun/dcid.{job}"

Json = dict[str, Any]


class Jobs:
    """Submits jobs to the engine and keeps what it reports."""

    def __init__(self, home: Home, store: Store, assets: Assets, blobs: Blobs, max_parallel: int | None = None) -> None:
        self._store = store
        self._assets = assets
        self._blobs = blobs
        self._logs = LiveLog()
        self._engine = Engine(home.path, self, home.tracking_uri, max_parallel)
        self._bury_the_dead()

    def submit(self, name: str, body: Json) -> Resource:
        """Start a job. A known name is an update of the job's description and is never run again.

        Raises SpecError for a job that cannot be run as written; nothing is kept then.
        """
        properties = body.get("properties") or {}
        if known := self._store.get(JOBS, name):
            return self._describe(known, properties)
        pipeline = pipeline_of(name, properties, self._assets)
        if not self._store.add(JOBS, name, "", {"properties": properties}):
            return self._found(JOBS, name)
        self._note(pipeline, properties)
        try:
            self._engine.submit(pipeline)
        except Exception:
            self._forget(pipeline)
            raise
        return self._found(JOBS, name)

    def job_changed(self, change: JobChange) -> None:
        """Keep a change, and give the outputs and logs their addresses."""
        state = {key: _plain(value) for key, value in asdict(change).items()}
        self._store.update(RUNS, change.name, "", lambda run: {**run, **state})
        for output, path in change.outputs.items():
            self._blobs.link(BLOBSTORE, OUTPUT_PATH.format(job=change.name, output=output), path)
        if change.log_folder:
            self._blobs.link(ARTIFACTS, ARTIFACT_PATH.format(job=change.name), change.log_folder)
        self.follow(change.parent or change.name)

    def get(self, name: str) -> Resource | None:
        """A submitted job, or None; a node of a pipeline is none."""
        return self._store.get(JOBS, name)

    def all(self) -> list[Resource]:
        """All submitted jobs, the newest first."""
        return self._store.all(JOBS)[::-1]

    def run(self, name: str) -> Resource | None:
        """What has become of a job or of a pipeline's node, or None."""
        return self._store.get(RUNS, name)

    def children(self, name: str) -> list[Resource]:
        """The runs of a pipeline's nodes, in the order in which they were written."""
        return [run for run in self._store.all(RUNS) if run.body["parent"] == name]

    def change(self, name: str, changes: Json) -> Resource:
        """Change what may be changed of a run: display name, description, tags, properties, hidden."""
        fields = ("displayName", "description", "hidden")

        def apply(run: Json) -> Json:
            given = {field: changes[field] for field in fields if changes.get(field) is not None}
            merged = {field: {**run[field], **(changes.get(field) or {})} for field in ("tags", "properties")}
            return {**run, **given, **merged}

        return self._store.update(RUNS, name, "", apply)

    def cancel(self, name: str) -> None:
        """Ask a job to end."""
        self._engine.cancel(name)

    def follow(self, name: str) -> None:
        """Let what the nodes have written since the last time appear in the log of their pipeline."""
        run = self.run(name)
        children = self.children(name)
        if run and children and run.body["log_folder"]:
            self._logs.follow(Path(run.body["log_folder"]), {child.body["node"]: child.body for child in children})

    def close(self) -> None:
        """End what runs."""
        self._engine.close()

    def _note(self, pipeline: Pipeline, properties: Json) -> None:
        """Make the runs, so that the engine's changes find them."""
        common = {"experiment": pipeline.experiment_name, "root": pipeline.name, "hidden": False}
        own = {
            **common,
            "type": properties["jobType"],
            "displayName": pipeline.display_name,
            "description": properties.get("description") or "",
            "tags": properties.get("tags") or {},
            "properties": properties.get("properties") or {},
            "parent": None,
        }
        self._store.put(RUNS, pipeline.name, "", own)
        for node in pipeline.nodes.values():
            if node.job_name != pipeline.name:
                named = {"type": "Command", "displayName": node.display_name, "parent": pipeline.name}
                given = {"description": "", "tags": {}, "properties": {"azureml.moduleName": node.component.name}}
                self._store.put(RUNS, node.job_name, "", {**common, **named, **given, "node": node.name})

    def _forget(self, pipeline: Pipeline) -> None:
        self._store.delete(JOBS, pipeline.name)
        for name in {pipeline.name, *(node.job_name for node in pipeline.nodes.values())}:
            self._store.delete(RUNS, name)

    def _describe(self, job: Resource, properties: Json) -> Resource:
        self.change(job.name, {**properties, "hidden": properties.get("isArchived")})
        return job

    def _bury_the_dead(self) -> None:
        """Jobs of an earlier process of this workspace ended with it."""
        ended = {"status": "Failed", "end_time": datetime.now(UTC).isoformat()}
        reason = {"error": "The local workspace was stopped while this job ran."}
        for run in self._store.all(RUNS):
            if run.body.get("status") not in FINAL:
                self._store.put(RUNS, run.name, "", {**run.body, **ended, **reason})

    def _found(self, kind: str, name: str) -> Resource:
        found = self._store.get(kind, name)
        assert found
        return found


def _plain(value: object) -> object:
    """A field of a change as JSON has it."""
    match value:
        case datetime():
            return value.isoformat()
        case Path():
            return str(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
