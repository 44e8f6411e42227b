"""The MLflow run of a job: what a step logs goes there, and a store that is locked, slow or gone never stops the step.

Azure and the local workspace set the run for a job, a plain shell does not. A thread sends; the step waits for it only
as long as the store answers.
"""

import dataclasses
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 10.0
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# A store that is gone would else be asked for four minutes, seven times with growing pauses.
STORE_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST"}  # trying again would not help
LONGEST_VALUE = 500  # characters of a parameter


class RunLog:
    """Sends to one run, in order, from a thread of its own."""

    def __init__(self, make_client: Callable[[], Any], run_id: str):
        """make_client: opens the store, which may fail now and not later."""
        self.make_client, self.run_id = make_client, run_id
        self.made: Any = None
        self.refused: set[str] = set()
        self.waiting: deque[Callable[[], None]] = deque()
        self.changed = threading.Condition()
        self.trouble = ""
        self.given_up = False
        threading.Thread(target=self._send_all, daemon=True).start()

    def send(self, **batch: Any) -> None:
        """Hand on metrics or parameters; returns when the run has them, or when the store does not take them now."""
        with self.changed:
            self.waiting.append(lambda: self.client().log_batch(self.run_id, **batch))
            self.given_up = False
            self.changed.notify_all()
        if not self.trouble and not self.wait(PATIENCE_SECONDS):
            self._say_trouble("it does not answer")

    def client(self) -> Any:
        """The store's client, made when it is first needed and the store lets itself be opened."""
        if self.made is None:
            self.made = self.make_client()
        return self.made

    def wait(self, seconds: float, whatever: bool = False) -> bool:
        """Whether the run has everything, after at most so long; `whatever`: also while there is trouble."""
        with self.changed:
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.waiting or (bool(self.trouble) and not whatever), seconds)
            return not self.waiting or bool(self.trouble)

    def steps(self, metric: str) -> set[int]:
        """The steps at which the run has this metric."""
        try:
            return {point.step for point in self.client().get_metric_history(self.run_id, metric)}
        except Exception as error:  # of the store, the network or the database, each in its own class
            self._say_trouble(first_line(error))
            return set()

    def _send_all(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting)
                send = self.waiting[0]
            try:
                send()
            except Exception as error:
                if self.made is None or getattr(error, "error_code", "") not in REFUSALS:
                    self._say_trouble(first_line(error))
                    with self.changed:
                        self.changed.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                if first_line(error) not in self.refused:
                    self.refused.add(first_line(error))
                    print(f"MLflow refused what was logged: {first_line(error)}", file=sys.stderr, flush=True)
            pause = SHORTEST_PAUSE
            with self.changed:
                self.waiting.popleft()
                if self.trouble and not self.waiting:
                    self.trouble = ""
                    print("MLflow answers again and has everything that was logged.", file=sys.stderr, flush=True)
                self.changed.notify_all()

    def _say_trouble(self, reason: str) -> None:
        with self.changed:
            if not self.trouble:
                print(
                    f"MLflow takes nothing at present ({reason}): the work goes on, and what it logs is sent later.",
                    file=sys.stderr,
                    flush=True,
                )
            self.trouble = reason
            self.changed.notify_all()


_logs: dict[tuple[str, str], RunLog] = {}


def is_main_process() -> bool:
    """Whether this process is the first of its distribution."""
    return int(os.environ.get("RANK", "0")) == 0


def num_processes() -> int:
    """How many processes its distribution has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def log_parameters(config: Any) -> None:
    """Log the configuration to the MLflow run, if the environment sets one."""
    if log := _log():
        from mlflow.entities import Param

        values = {name: plain(value) for name, value in dataclasses.asdict(config).items()}
        log.send(params=[Param(name, str(value)[:LONGEST_VALUE]) for name, value in values.items()])


def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
    """Log metrics to the MLflow run, if the environment sets one."""
    if log := _log():
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        log.send(metrics=[Metric(name, float(value), now, step or 0) for name, value in metrics.items()])


def logged_steps(metric: str) -> set[int]:
    """The steps at which the run, if there is one, has this metric: from before an interruption."""
    log = _log()
    return log.steps(metric) if log else set()


def finish_logging(seconds: float = 30.0) -> None:
    """Give the store a last while, once, to take what it has not; says so if it does not."""
    for log in _logs.values():
        if not log.given_up:
            log.wait(seconds, whatever=True)
        if log.waiting and not log.given_up:
            log.given_up = True
            print(
                f"MLflow did not take the last {len(log.waiting)} entries ({log.trouble or 'no answer'}); "
                "the output folder has them.",
                file=sys.stderr,
                flush=True,
            )


def plain(value: Any) -> Any:
    """A setting as JSON and MLflow take it."""
    return str(value) if isinstance(value, Path) else value


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _log() -> RunLog | None:
    """The log of the run in the first process of a job; none without a run."""
    if not is_main_process():
        return None
    run_id = os.environ.get("MLFLOW_RUN_ID", "")
    if not run_id:
        active = sys.modules["mlflow"].active_run() if "mlflow" in sys.modules else None
        if active is None:
            return None
        run_id = active.info.run_id
    for name, value in STORE_PATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow

    key = (mlflow.get_tracking_uri(), run_id)
    if key not in _logs:
        _logs[key] = RunLog(partial(mlflow.MlflowClient, key[0]), run_id)
    return _logs[key]
