"""The endpoint and the default deployment over HTTP, under closed-loop load: a part of benchmarks/serving.py."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
OVER_HTTP = ("transformers", "mlflow models serve", "ours fp32", "ours int8")
LOADS = (("8 tokens", 1), ("8 tokens", 4), ("8 tokens", 16), ("256 tokens", 1), ("256 tokens", 16), ("32 mixed", 1))
SHORT = "Paris is the [MASK] of France."
DEFAULT_SCRIPT = """
import json, os, mlflow
def init():
    global model
    model = mlflow.pyfunc.load_model(os.environ["AZUREML_MODEL_DIR"])
def run(body):
    return model.predict(json.loads(body)["input_data"])
"""


@dataclass(frozen=True)
class Server:
    """A process that answers requests over HTTP."""

    process: subprocess.Popen[bytes]
    address: str
    path: str  # that takes texts
    key: str  # under which it takes them
    cold_start: float  # seconds from the start of the process to the first answer

    def ask(self, session: httpx.Client, texts: list[str]) -> httpx.Response:
        """The answer to a request with some texts."""
        return session.post(f"{self.address}{self.path}", json={self.key: texts})

    def memory(self) -> float:
        """Resident MB of its largest process."""
        tree = psutil.Process(self.process.pid)
        return max(one.memory_info().rss for one in [tree, *tree.children(recursive=True)]) / 2**20

    def stop(self) -> None:
        """End it."""
        tree = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        self.process.wait()
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def deployment_variables(name: str) -> dict[str, str]:
    """The environment that endpoints/fill-mask/deployment.yml gives the server `ours <precision>`."""
    deployment = yaml.safe_load((ROOT / "endpoints" / "fill-mask" / "deployment.yml").read_text())
    return deployment["environment_variables"] | {"FILL_MASK_PRECISION": name.split()[1]}


def start_server(name: str, folder: Path) -> Server:
    """A server of the exported model, or of the transformers flavor, once it has answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables, scripts = dict(os.environ), Path(sys.executable).parent
    path, key = "/score", "input_data"
    if name == "mlflow models serve":
        command = [str(scripts / "mlflow"), "models", "serve", "--model-uri", str(folder / "transformers")]
        command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
        path, key = "/invocations", "inputs"
    else:
        script = folder / "default_script.py"
        if name == "transformers":
            script.write_text(DEFAULT_SCRIPT)
            variables["AZUREML_MODEL_DIR"] = str(folder / "transformers")
        else:
            variables |= deployment_variables(name)
            variables["AZUREML_MODEL_DIR"] = str(folder / "ours")
            script = ROOT / "src" / "bert_distillation" / "score.py"
        command = [str(scripts / "azmlinfsrv"), "--entry_script", str(script), "--port", str(port)]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, f"http://127.0.0.1:{port}", path, key, 0.0)
    with httpx.Client(timeout=60) as session:
        while time.perf_counter() - start < 120:
            try:
                if server.ask(session, [SHORT]).is_success:
                    return replace(server, cold_start=time.perf_counter() - start)
            except httpx.TransportError:
                time.sleep(0.05)
    server.stop()
    raise SystemExit(f"{name} did not answer within 120 seconds")


def load(server: Server, texts: list[str], connections: int, seconds: float) -> tuple[list[float], int]:
    """Latencies of closed-loop clients, in seconds and in order, and how many requests failed."""
    latencies: list[float] = []
    failed, end = [0], time.perf_counter() + seconds

    def client() -> None:
        with httpx.Client(timeout=120) as session:
            while time.perf_counter() < end:
                start = time.perf_counter()
                try:
                    failed[0] += not server.ask(session, texts).is_success
                except httpx.TransportError:
                    failed[0] += 1
                latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(latencies), failed[0]


def measure_over_http(folder: Path, workloads: dict[str, list[str]], seconds: float) -> list[dict[str, Any]]:
    """A row a server, workload and number of connections."""
    rows: list[dict[str, Any]] = []
    default: dict[tuple[str, int], float] = {}
    for name in OVER_HTTP:
        server = start_server(name, folder)
        try:
            load(server, [SHORT], 4, 2)
            for workload, connections in LOADS:
                start = time.perf_counter()
                latencies, failed = load(server, workloads[workload], connections, seconds)
                rate = len(latencies) / (time.perf_counter() - start)
                row = {"server": name, "workload": workload, "connections": connections, "failed": failed}
                row |= {"requests_per_s": rate, "p50_ms": 1000 * latencies[len(latencies) // 2]}
                row |= {"p99_ms": 1000 * latencies[int(0.99 * len(latencies))], "rss_mb": server.memory()}
                row |= {"cold_start_s": server.cold_start}
                rows.append(row | {"ratio": rate / default.setdefault((workload, connections), rate)})
                print(f"over HTTP: {name}, {workload}, {connections} connections", file=sys.stderr, flush=True)
        finally:
            server.stop()
    return rows
