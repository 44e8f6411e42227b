"""What the endpoint withstands: the probe beside the largest batch, minutes of load, and thousands of hostile requests.

    python benchmarks/endpoint_endurance.py --model MLFLOW_MODEL [--seconds 300] [--hostile 10000] [--json FILE]

MLFLOW_MODEL is a folder of `export`; it is served by `azmlinfsrv` with the settings of endpoints/fill-mask. The exit
status is 1 if a request was answered with 5xx or not at all, or if the server's memory grew by a tenth: the first fifth
of the requests, after which its buffers are as large as they get, is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hostile_requests
import httpx
from serving_http import SHORT, Server, load, start_server

CONNECTIONS = 16
GROWTH = 1.1
LARGEST = [f"{'a word of the text ' * 20}[MASK]."] * 256  # all that a request may have: 98 thousand characters
PROBES = 100


def probe_beside_the_largest_batch(server: Server) -> dict[str, Any]:
    """Milliseconds of the health probe while a request of the largest size is computed, one after the other."""
    done = threading.Event()
    answered: list[float] = []

    def ask() -> None:
        while not done.is_set():
            start = time.perf_counter()
            with httpx.Client(timeout=300) as session:
                server.ask(session, LARGEST).raise_for_status()
            answered.append(time.perf_counter() - start)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)
    took = []
    with httpx.Client(timeout=60) as session:
        for _ in range(PROBES):
            start = time.perf_counter()
            session.get(server.address).raise_for_status()
            took.append(1000 * (time.perf_counter() - start))
            time.sleep(0.1)
    done.set()
    asking.join()
    took.sort()
    row = {"what": "probe", "requests": PROBES, "p50_ms": took[PROBES // 2], "p99_ms": took[int(0.99 * PROBES)]}
    return row | {"max_ms": took[-1], "batch_s": statistics.median(answered)}


def under_load(server: Server, seconds: float) -> dict[str, Any]:
    """Closed-loop clients, in ten parts, with the memory after each."""
    load(server, [SHORT], CONNECTIONS, min(5, seconds))
    sizes, requests, failed, p99 = [server.memory()], 0, 0, []
    for part in range(10):
        latencies, lost = load(server, [SHORT], CONNECTIONS, seconds / 10)
        sizes.append(server.memory())
        requests, failed = requests + len(latencies), failed + lost
        p99.append(1000 * latencies[int(0.99 * len(latencies))])
        print(f"load: {part + 1} of 10, {requests} requests, {sizes[-1]:.0f} MB", file=sys.stderr, flush=True)
    row = {"what": "load", "requests": requests, "failed": failed, "requests_per_s": requests / seconds}
    return row | {"p99_ms": statistics.median(p99), "rss_mb": [round(size) for size in sizes]}


def under_hostile_requests(server: Server, count: int) -> dict[str, Any]:
    """All of `hostile_requests` over and over, with slow bodies and dropped connections between."""
    bodies = hostile_requests.bodies()
    statuses: Counter[str] = Counter()

    def one(number: int) -> None:
        if number % 1000 == 500:
            statuses[hostile_requests.send_slowly(server.address, seconds=5).split(b" ")[1].decode()] += 1
        elif number % 100 == 50:
            hostile_requests.drop_midway(server.address)
            statuses["dropped"] += 1
        else:
            content, content_type = bodies[number % len(bodies)]
            try:
                with httpx.Client(timeout=60) as session:
                    headers = {"Content-Type": content_type}
                    reply = session.post(f"{server.address}{server.path}", content=content, headers=headers)
                has_stack = b"Traceback" in reply.content
                statuses[f"{reply.status_code}{' with a stack trace' if has_stack else ''}"] += 1
            except httpx.TransportError as error:
                statuses[type(error).__name__] += 1

    sizes = []
    with ThreadPoolExecutor(8) as pool:
        for part in range(10):
            list(pool.map(one, range(part * count // 10, (part + 1) * count // 10)))
            sizes.append(server.memory())
            print(f"hostile: {part + 1} of 10, {dict(statuses)}, {sizes[-1]:.0f} MB", file=sys.stderr, flush=True)
    bad = {status: number for status, number in statuses.items() if status[0] not in "24d" or "stack" in status}
    row = {"what": "hostile", "requests": statuses.total(), "kinds": len(bodies), "failed": sum(bad.values())}
    return row | {"statuses": dict(statuses), "rss_mb": [round(size) for size in sizes]}


def main() -> int:
    """Measure, show, and say whether it held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--hostile", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.model / "MLmodel").is_file():
        parser.error(f"--model {options.model} holds no MLmodel; give a folder written by `export`")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ours").symlink_to(options.model.resolve())
        server = start_server(f"ours {options.precision}", Path(folder))
        try:
            rows = [probe_beside_the_largest_batch(server)]
            rows.append(under_load(server, options.seconds))
            rows.append(under_hostile_requests(server, options.hostile))
        finally:
            server.stop()
    for row in rows:
        print(json.dumps(row))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    grown = any(row["rss_mb"][-1] > GROWTH * row["rss_mb"][1] for row in rows[1:])
    return int(grown or any(row["failed"] for row in rows[1:]))


if __name__ == "__main__":
    sys.exit(main())
