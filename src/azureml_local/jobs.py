"""The jobs of a workspace: what was submitted, what has become of it, and where its outputs are."""

import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azureml_local.assets import DEFAULT_OUTPUT_PATH, OUTPUT_PATH, RUNS, Assets
from azureml_local.blobs import ARTIFACTS, BLOBSTORE, BlobPathError, Blobs
from azureml_local.checks import ERROR, problems
from azureml_local.disk import is_full
from azureml_local.engine.changes import FINAL, JobChange
from azureml_local.engine.engine import Engine
from azureml_local.engine.limits import check_lengths
from azureml_local.engine.plan import Plan
from azureml_local.home import Home
from azureml_local.job_bodies import pipeline_of
from azureml_local.job_changes import changed_field
from azureml_local.job_notes import notes
from azureml_local.live_log import LiveLog
from azureml_local.metrics import read_latest
from azureml_local.node_bodies import texts
from azureml_local.settings import Settings
from azureml_local.spec import Pipeline, SpecError
from azureml_local.store import Resource, Store
from azureml_local.trials import BEST, SCORE, trials_of

JOBS = "jobs"  # what was submitted: pipelines and stand-alone jobs, as the SDK sent them

NOT_KEPT = ("best_trial", "reused", "reused_root")  # fields of a change that are written in Azure's words
DIED = "the local workspace was stopped while this job ran"
OTHER = (
    'name: "{name}" is a job already, and this one differs in its {field}; give it another name, or none. Only display '
    "name, description, tags and properties of a submitted job can be changed"
)
TAKEN = (
    'the output "{output}" is not registered: another job has made {asset} meanwhile; give another version, or none '
    "for the next one"
)
UNREACHABLE = "{path} is there, and has no address to be read by: {name} cannot be linked to it ({error})"

Json = dict[str, Any]


class Jobs:
    """Submits jobs to the engine and keeps what it reports."""

    def __init__(self, home: Home, store: Store, assets: Assets, blobs: Blobs, settings: Settings) -> None:
        self._store = store
        self._assets = assets
        self._blobs = blobs
        self._logs = LiveLog()
        self._metrics = home.runs_database
        self._engine = Engine(home.path, self, home.tracking_uri, settings)
        self._bury_the_dead()

    def submit(self, name: str, body: Json) -> Resource:
        """Start a job. A known name is an update of the job's description and is never run again.

        Raises SpecError for a job that cannot be run as written, and for another one of a known name; nothing is kept.
        """
        properties = body.get("properties") or {}
        if known := self._store.get(JOBS, name):
            written = self._found(RUNS, name).body.get("outputs") or {}
            if changed := changed_field(known.body["properties"], properties, written):
                raise SpecError(OTHER.format(name=name, field=changed))
            return self._describe(known, properties)
        pipeline = pipeline_of(name, properties, self._assets)
        _check(pipeline)
        plan = self._engine.plan(pipeline)
        check_lengths(plan)
        if taken := sorted(job for job in {name, *plan.jobs()} if self.run(job)):
            raise SpecError(f'name: "{taken[0]}" is a job already; give this one another name')
        with self._store.together():
            if not self._store.add(JOBS, name, "", {"properties": properties}):
                return self._found(JOBS, name)
            for job, note in notes(pipeline, plan, properties).items():
                self._store.put(RUNS, job, "", note)
        try:
            self._engine.submit(pipeline, plan)
        except Exception:
            self._forget(pipeline, plan)
            raise
        return self._found(JOBS, name)

    def job_changed(self, change: JobChange) -> None:
        """Keep a change, and give the outputs and logs their addresses."""
        score = self._score(change)
        # What a job has left is there before it is said to have ended.
        change = replace(change, warnings=(*change.warnings, *self._give_addresses(change)))
        with self._store.together():  # told again after a full disk, it registers nothing twice
            if change.status == "Completed":
                change = replace(change, warnings=(*change.warnings, *self._register(change)))
            run = self._store.update(RUNS, change.name, "", lambda run: _changed(run, change, score))
        if change.status in FINAL:
            self._log(run.body["root"], [run])

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
        return self._store.children(RUNS, name)

    def change(self, name: str, changes: Json) -> Resource:
        """Change what may be changed of a run: display name, description, tags, properties, hidden."""
        fields = ("displayName", "description", "hidden")

        def apply(run: Json) -> Json:
            given = {field: changes[field] for field in fields if changes.get(field) is not None}
            merged = {field: {**run[field], **(changes.get(field) or {})} for field in ("tags", "properties")}
            return {**run, **given, **merged}

        changed = self._store.update(RUNS, name, "", apply)
        title, tags = changes.get("displayName") or "", texts(changes.get("tags"))
        if title or tags:
            self._engine.describe(name, title, tags)
        return changed

    def cancel(self, name: str) -> None:
        """Ask a job to end."""
        self._engine.cancel(name)

    def track_over(self, variables: dict[str, str]) -> None:
        """Let jobs that bring an MLflow of their own log over REST; variables: where, as MLflow reads them."""
        self._engine.track_over(variables)

    def follow(self, name: str) -> None:
        """Let what the nodes have written since the last time appear in the log of their pipeline."""
        self._log(name, self.children(name))

    def _log(self, name: str, nodes: list[Resource]) -> None:
        run = self.run(name)
        below = {node.body["node"]: node.body for node in nodes if node.name != name}
        if run and below and run.body.get("log_folder"):
            self._logs.follow(Path(run.body["log_folder"]), below)

    def _score(self, change: JobChange) -> float | None:
        """How a trial of a sweep did: the last value of the sweep's metric. None for what is no such trial."""
        sweep = self.run(change.parent) if change.parent and change.status in FINAL else None
        metric = trials_of({}, sweep.body["properties"]).metric if sweep else ""
        try:
            return read_latest(self._metrics, change.name, metric) if metric else None
        except sqlite3.Error:  # it has ended all the same
            return None

    def _give_addresses(self, change: JobChange) -> Iterator[str]:
        """Link logs and, at the end, outputs to where clients look; a sentence for each that has no place there."""
        places = [(ARTIFACTS, DEFAULT_OUTPUT_PATH.format(job=change.name), change.log_folder)]
        for output, written in change.outputs.items() if change.status in FINAL else ():
            places.append((BLOBSTORE, OUTPUT_PATH.format(job=change.name, output=output), written))
        for container, name, path in places:
            try:
                if path:
                    self._blobs.link(container, name, path)
            except (OSError, BlobPathError) as error:
                if is_full(error):
                    raise
                yield UNREACHABLE.format(path=path, name=name, error=error)

    def _register(self, change: JobChange) -> Iterator[str]:
        """Make those outputs assets for which the job asked; a sentence for each that cannot become one."""
        for output, asked in self._found(RUNS, change.name).body.get("registers", {}).items():
            if path := change.outputs.get(output):
                address = self._assets.output_address(change.name, output, path)
                if not self._assets.register(asked["type"], asked["name"], asked["version"], address):
                    yield TAKEN.format(output=output, asset=f"{asked['name']}:{asked['version']}")

    def close(self) -> None:
        """End what runs."""
        self._engine.close()

    def _forget(self, pipeline: Pipeline, plan: Plan) -> None:
        self._store.delete(JOBS, pipeline.name)
        for name in {pipeline.name, *plan.jobs()}:
            self._store.delete(RUNS, name)

    def _describe(self, job: Resource, properties: Json) -> Resource:
        self.change(job.name, {**properties, "hidden": properties.get("isArchived")})
        return job

    def _bury_the_dead(self) -> None:
        """Jobs of an earlier process of this workspace ended with it."""
        now = datetime.now(UTC).isoformat()
        for run in self._store.all(RUNS):
            status = run.body.get("status")
            if status in FINAL:
                continue
            began = status in ("Preparing", "Running") or not run.body.get("parent")
            ended = {
                "status": "Canceled" if status == "CancelRequested" or not began else "Failed",
                "end_time": now,
                "error": DIED if began else f'node "{run.body["node"]}" was not run: {DIED}',
            }
            self._store.put(RUNS, run.name, "", {**run.body, **ended})

    def _found(self, kind: str, name: str) -> Resource:
        found = self._store.get(kind, name)
        assert found
        return found


def _check(pipeline: Pipeline) -> None:
    """Refuse what the SDK lets by, with all of it at once."""
    if errors := [str(problem) for problem in problems(pipeline) if problem.severity == ERROR]:
        raise SpecError("; ".join(errors))


def _changed(run: Json, change: JobChange, score: float | None) -> Json:
    """A run's document after a change; a reused job, and a trial with its score, say so as on Azure."""
    state = {key: _plain(value) for key, value in asdict(change).items() if key not in NOT_KEPT}
    properties = dict(run["properties"])
    if change.best_trial:
        properties[BEST] = change.best_trial
    if score is not None:
        properties[SCORE] = repr(score)
    if change.reused:
        state["reused"] = {"job": change.reused, "root": change.reused_root}
        properties["azureml.isreused"] = "true"
        properties["azureml.reusedrunid"] = change.reused
        properties["azureml.reusedpipelinerunid"] = change.reused_root or ""
    return {**run, **state, "properties": properties}


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
