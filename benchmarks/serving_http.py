"""The endpoint and the default deployment over HTTP, under closed-loop load: a part of benchmarks/serving.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
OVER_HTTP = ("transformers", "ours fp32", "ours int8")
CONNECTIONS = (1, 4, 16)
SHORT = "Paris is the [MASK] of France."
DEFAULT_SCRIPT = """
import json, os, mlflow
def init():
    global model
    model = mlflow.pyfunc.load_model(os.environ["AZUREML_MODEL_DIR"])
def run(body):
    return model.predict(json.loads(body)["input_data"])
"""


def start_server(name: str, folder: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """A server behind azmlinfsrv, its address, and the seconds until it answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = dict(os.environ)
    script = folder / "default_script.py"
    if name == "transformers":
        script.write_text(DEFAULT_SCRIPT)
        variables["AZUREML_MODEL_DIR"] = str(folder / "transformers")
    else:
        deployment = yaml.safe_load((ROOT / "endpoints" / "fill-mask" / "deployment.yml").read_text())
        variables |= deployment["environment_variables"] | {"FILL_MASK_PRECISION": name.split()[1]}
        variables["AZUREML_MODEL_DIR"] = str(folder / "ours")
        script = ROOT / "src" / "bert_distillation" / "score.py"
    command = [str(Path(sys.executable).parent / "azmlinfsrv"), "--entry_script", str(script), "--port", str(port)]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while time.perf_counter() - start < 120:
        try:
            if httpx.post(f"{address}/score", json={"input_data": [SHORT]}, timeout=60).is_success:
                return process, address, time.perf_counter() - start
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit(f"{name} did not answer within 120 seconds")


def load(address: str, connections: int, seconds: float) -> tuple[list[float], int]:
    """Latencies of closed-loop clients, and how many requests failed."""
    latencies: list[float] = []
    failed, end = [0], time.perf_counter() + seconds

    def client() -> None:
        with httpx.Client(timeout=60) as session:
            while time.perf_counter() < end:
                start = time.perf_counter()
                reply = session.post(f"{address}/score", json={"input_data": [SHORT]})
                latencies.append(time.perf_counter() - start)
                failed[0] += not reply.is_success

    threads = [threading.Thread(target=client) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(latencies), failed[0]


def measure_over_http(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """A row a server and number of connections."""
    rows: list[dict[str, Any]] = []
    for name in OVER_HTTP:
        process, address, cold_start = start_server(name, folder)
        try:
            load(address, 4, 2)
            for connections in CONNECTIONS:
                latencies, failed = load(address, connections, seconds)
                tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                row = {"server": name, "workload": "8 tokens", "connections": connections, "failed": failed}
                row |= {"requests_per_s": len(latencies) / seconds, "p50_ms": 1000 * latencies[len(latencies) // 2]}
                row["p99_ms"] = 1000 * latencies[int(0.99 * len(latencies))]
                row |= {"rss_mb": max(one.memory_info().rss for one in tree) / 2**20, "cold_start_s": cold_start}
                default = [
                    r["requests_per_s"]
                    for r in rows
                    if (r["server"], r["connections"]) == (rows[0]["server"], connections)
                ]
                rows.append(row | {"ratio": row["requests_per_s"] / default[0] if default else 1.0})
                print(f"over HTTP: {name}, {connections} connections", file=sys.stderr, flush=True)
        finally:
            process.terminate()
            process.wait()
    return rows
