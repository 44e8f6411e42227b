"""How fast the endpoint answers, beside an MLflow model deployed the default way: in process and over HTTP.

    python benchmarks/serving.py --tokenizer DIR [--model DIR] [--rounds 10] [--seconds 10] [--json FILE]

The model is that of --model or a DistilBERT of the real size with random weights. Servers, each in a process of its
own:

    transformers  the flavor of `mlflow.transformers.save_model`; over HTTP behind `azmlinfsrv` as Azure starts it, and
                  by `mlflow models serve`
    ours fp32     the exported model and `score.py`, with the settings of endpoints/fill-mask/deployment.yml
    ours int8     the same with 8-bit weights, whatever the gate says of them
    ours torch    the predictor without its ONNX graph
    ours bf16     the same in bf16

In process: medians of interleaved rounds of a quarter of a second for each server and workload, text to word. Over
HTTP: one server after the other, closed-loop clients. Memory is resident, cold start is from the start of the process
to the first answer, and agreement is the share of 200 sentences with the word that the transformers flavor gives.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from plain_errors import plain_errors
from serving_http import SHORT, deployment_variables, measure_over_http

ROOT = Path(__file__).resolve().parents[1]
VISIT = 0.25  # seconds that a server is asked before the next one's turn; the first answers find cold caches
IN_PROCESS = ("transformers", "ours fp32", "ours int8", "ours torch", "ours bf16")


def workloads() -> dict[str, list[str]]:
    """Texts of 8 tokens, of 256, and 32 of 8 to 128, as many from 8 to 16 as from 64 to 128; from the sample corpus."""
    words = (ROOT / "sample_data" / "corpus" / "geography.txt").read_text().split()
    lengths = [round(5 * 18 ** (index / 31)) for index in range(32)]  # in words
    mixed = [" ".join([*words[at : at + size], "[MASK]", "."]) for at, size in enumerate(lengths)]
    return {"8 tokens": [SHORT], "256 tokens": [" ".join([*words[:210], "[MASK]"])], "32 mixed": mixed}


def sentences() -> list[str]:
    """200 sentences, one word masked in each."""
    words = (ROOT / "sample_data" / "corpus" / "stories.txt").read_text().split()
    parts = [words[start : start + 14] for start in range(0, 200 * 14, 14)]
    return [" ".join([*part[: index % 12], "[MASK]", *part[index % 12 + 1 :]]) for index, part in enumerate(parts)]


def export_both(model: Path | None, tokenizer: Path, folder: Path) -> None:
    """The exported model with both graphs, and the one that the transformers flavor makes."""
    import mlflow.transformers
    from transformers import AutoModelForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

    from bert_distillation import hub
    from bert_distillation.export import EXAMPLE, PIP_REQUIREMENTS, ExportConfig, export
    from bert_distillation.onnx_graph import write_graph

    words = hub.load_tokenizer(tokenizer, "", of="tokenizer")
    if model is None:
        student = DistilBertForMaskedLM(DistilBertConfig(vocab_size=len(words), initializer_range=0.05))
    else:
        student = AutoModelForMaskedLM.from_pretrained(model)
    student.save_pretrained(folder / "student")
    words.save_pretrained(folder / "student")
    export(ExportConfig(student=folder / "student", mlflow_model=folder / "ours"))
    write_graph(folder / "ours" / "model", "model-int8.onnx", eight_bits=True)
    parts = {"model": student, "tokenizer": words}
    settings = {"task": "fill-mask", "pip_requirements": PIP_REQUIREMENTS, "input_example": [EXAMPLE]}
    mlflow.transformers.save_model(parts, str(folder / "transformers"), **settings)


def serve_in_process(name: str, folder: Path) -> None:
    """Answer lines of JSON texts with lines of {seconds, words, rss_mb}."""
    if name == "transformers":
        import mlflow.pyfunc

        model = mlflow.pyfunc.load_model(str(folder / "transformers"))

        def answer(texts: list[str]) -> list[str]:
            return list(model.predict(texts))
    else:
        from bert_distillation.fill_mask import FillMask

        precision = name.split()[1].replace("torch", "fp32")
        graph = folder / "ours" / "model"
        predictor = FillMask.load(
            graph if precision == "int8" or name == "ours fp32" else folder / "student", precision
        )

        def answer(texts: list[str]) -> list[str]:
            return [candidates[0].token for candidates in predictor.predict(texts)]

    for line in sys.stdin:
        texts = json.loads(line)
        start = time.perf_counter()
        words = answer(texts)
        seconds = time.perf_counter() - start
        rss = psutil.Process().memory_info().rss / 2**20
        print(json.dumps({"seconds": seconds, "words": words, "rss_mb": rss}), file=sys.__stdout__, flush=True)


def bare(word: str) -> str:
    """A word without what decoders differ in: blanks, and the mark of a piece that goes on with a word."""
    return word.replace(" ", "").removeprefix("##")


class Child:
    """A server in process, at the other end of a pipe."""

    def __init__(self, name: str, folder: Path):
        command = [sys.executable, __file__, "--serve", name, "--folder", str(folder)]
        variables = os.environ | (deployment_variables(name) if name.startswith("ours") else {})
        start = time.perf_counter()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, env=variables, **pipes)
        self.ask([SHORT])
        self.cold_start = time.perf_counter() - start

    def ask(self, texts: list[str]) -> dict[str, Any]:
        """What it answers, and in what time."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(texts) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        while line and not line.startswith('{"seconds"'):
            line = self.process.stdout.readline()
        return json.loads(line)

    def visit(self, texts: list[str]) -> float:
        """Its median time, in seconds, while it alone is asked; once where an answer takes long."""
        took, end = [], time.perf_counter() + VISIT
        while not took or time.perf_counter() < end:
            took.append(self.ask(texts)["seconds"])
        return statistics.median(took)


def measure_in_process(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """A row a server and workload."""
    children = {name: Child(name, folder) for name in IN_PROCESS}
    expected = children["transformers"].ask(sentences())["words"]
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 2):
        for workload, texts in workloads().items():
            for name, child in children.items():
                took = child.visit(texts)
                if number > 1:
                    seconds.setdefault((name, workload), []).append(took)
        print(f"in process: round {number + 1} of {rounds + 2}", file=sys.stderr, flush=True)
    rows = []
    for (name, workload), own in seconds.items():
        default = seconds["transformers", workload]
        answer = children[name].ask(sentences())
        same = [bare(one) == bare(other) for one, other in zip(answer["words"], expected, strict=True)]
        own_ms = sorted(1000 * one for one in own)
        row = {"server": name, "workload": workload, "connections": 0, "p50_ms": statistics.median(own_ms)}
        row |= {"p99_ms": own_ms[int(0.99 * len(own_ms))], "requests_per_s": 1000 / row["p50_ms"]}
        row["ratio"] = statistics.median(other / one for one, other in zip(own, default, strict=True))
        row |= {"rss_mb": answer["rss_mb"], "cold_start_s": children[name].cold_start}
        rows.append(row | {"agreement": sum(same) / len(same)})
    for child in children.values():
        child.process.kill()
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in (
        "server",
        "workload",
        "connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "ratio",
        "MB",
        "start s",
        "agree",
    ):
        table.add_column(heading, no_wrap=True)
    formats = {"requests_per_s": ".0f", "p50_ms": ".1f", "p99_ms": ".0f", "ratio": ".2f", "rss_mb": ".0f"}
    formats |= {"cold_start_s": ".1f", "agreement": ".1%"}
    for row in rows:
        numbers = [format(row[name], how) if name in row else "" for name, how in formats.items()]
        table.add_row(row["server"], row["workload"], str(row["connections"] or "in process"), *numbers)
    Console(width=130).print(table)


@plain_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "sample_data" / "tokenizer")
    parser.add_argument("--model", type=Path, help="folder of a masked-LM in Hugging Face format")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load for each number of connections")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_in_process(options.serve, options.folder)
        return
    folder = Path(tempfile.mkdtemp())
    try:
        export_both(options.model, options.tokenizer, folder)
        rows = measure_in_process(folder, options.rounds) + measure_over_http(folder, workloads(), options.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
