"""What the engine adds to a node: chains and fans of `true`, beside the same commands without it.

    python benchmarks/engine_overhead.py [--chain 20] [--fan 200]

Prints, side by side in one run: `bash -c true` one after the other, the pipeline as a chain, the same pipeline again
with every node reused, and a fan in which nodes do not wait for each other.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from azureml_local.engine.changes import FINAL
from azureml_local.engine.engine import Engine, JobChange
from azureml_local.spec import Component, Node, Pipeline, Port

FOLDER = Port(name="out", type="uri_folder")


class Ends:
    """Waits for jobs to end."""

    def __init__(self) -> None:
        self._ended: dict[str, JobChange] = {}
        self._told = threading.Condition()

    def job_changed(self, change: JobChange) -> None:
        """Note the end of a job."""
        with self._told:
            if change.status in FINAL:
                self._ended[change.name] = change
                self._told.notify_all()

    def wait(self, job: str) -> JobChange:
        """The end of a job."""
        with self._told:
            self._told.wait_for(lambda: job in self._ended)
        return self._ended[job]


def chain(name: str, length: int) -> Pipeline:
    nodes = {}
    for number in range(length):
        inputs = {"data": f"${{{{parent.jobs.node{number - 1}.outputs.out}}}}"} if number else {}
        nodes[f"node{number}"] = _node(name, number, inputs)
    return Pipeline(name=name, experiment_name="overhead", nodes=nodes)


def fan(name: str, width: int) -> Pipeline:
    nodes = {f"node{number}": _node(name, number, {}) for number in range(width)}
    return Pipeline(name=name, experiment_name="overhead", nodes=nodes)


def _node(pipeline: str, number: int, inputs: dict[str, str]) -> Node:
    component = Component(
        name="nothing",
        version="1",
        command="true",
        code=None,
        inputs={name: Port(name=name, type="uri_folder") for name in inputs},
        outputs={"out": FOLDER},
        digest=f"nothing {number}",
    )
    return Node(name=f"node{number}", job_name=f"{pipeline}-{number}", component=component, inputs=dict(inputs))


def measure(engine: Engine, ends: Ends, pipeline: Pipeline) -> float:
    """Seconds from submission to the end."""
    start = time.perf_counter()
    engine.submit(pipeline)
    change = ends.wait(pipeline.name)
    if change.status != "Completed":
        raise SystemExit(f"{pipeline.name}: {change.status}: {change.error}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", type=int, default=20, help="nodes of the chain")
    parser.add_argument("--fan", type=int, default=200, help="nodes of the fan")
    options = parser.parse_args()
    ends = Ends()
    with tempfile.TemporaryDirectory() as home:
        engine = Engine(Path(home), ends, f"sqlite:///{home}/mlflow.db")
        measure(engine, ends, chain("warm", 1))
        start = time.perf_counter()
        for _ in range(options.chain):
            subprocess.run(["/bin/bash", "-c", "true"], check=True)
        bare = time.perf_counter() - start
        chained = measure(engine, ends, replace(chain("chain", options.chain), force_rerun=True))
        measure(engine, ends, chain("first", options.chain))
        reused = measure(engine, ends, chain("reused", options.chain))
        fanned = measure(engine, ends, replace(fan("fan", options.fan), force_rerun=True))
        engine.close()
    print(f"{'':32} {'s':>8} {'ms a node':>10}")
    for what, seconds, nodes in (
        (f"bash -c true, {options.chain} times", bare, options.chain),
        (f"chain of {options.chain}", chained, options.chain),
        (f"chain of {options.chain}, all reused", reused, options.chain),
        (f"fan of {options.fan}", fanned, options.fan),
    ):
        print(f"{what:32} {seconds:8.2f} {1000 * seconds / nodes:10.1f}")
    print(f"the engine adds {1000 * (chained - bare) / options.chain:.0f} ms to a node of the chain")


if __name__ == "__main__":
    main()
