"""Which lower precisions a trained model can be served in: what the gate of `export` says of each, and what it brings.

    python benchmarks/lower_precision.py --model DIR --sentences FILE [--rounds 10] [--json FILE]

DIR is a trained model in Hugging Face format, FILE a jsonl of sentences with one [MASK] each and the word that was
there (`input_string` and `title`, or `text` and `answer`). Speed is that of the same model, in process, to its fp32
graph; medians of interleaved rounds. Candidates:

    fp32              the graph that `export` writes
    int8              what `export --int8 true` offers: weights and activations in 8 bits, a scale for 32, 64 or
                      128 of them
    int8 weights      the same weights, activations in single precision
    int8, fp32 words  as int8, but the vocabulary layer in single precision
    dynamic           ONNX Runtime's own dynamic quantization, a scale a tensor
    dynamic, channels the same with a scale a channel
    bf16              the predictor on torch
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plain_errors import plain_errors
from rich.console import Console
from rich.table import Table
from serving import workloads

from bert_distillation.cloze import ClozeRow
from bert_distillation.fill_mask import FillMask, WordPieces
from bert_distillation.gate import judge
from bert_distillation.onnx_graph import Graph, Shape, Weights, write_graph
from bert_distillation.onnx_runner import OnnxRunner

GRAPH = "candidate.onnx"


def without_quantized_activations(folder: Path) -> None:
    """8-bit weights that are multiplied in single precision."""
    import onnx

    write_graph(folder, GRAPH, eight_bits=True)
    model = onnx.load(folder / GRAPH, load_external_data=False)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1
    (folder / GRAPH).write_bytes(model.SerializeToString())


def with_exact_words(folder: Path) -> None:
    """8-bit weights but for the vocabulary layer."""

    class Mixed(Graph):
        def vocabulary(self, states: str) -> None:
            self.eight_bits = False
            super().vocabulary(states)

    shape = Shape.of(json.loads((folder / "config.json").read_text()))
    graph = Mixed(Weights(folder / "model.safetensors"), shape, eight_bits=True)
    (folder / GRAPH).write_bytes(graph.model().SerializeToString())


def dynamic(per_channel: bool) -> Callable[[Path], None]:
    """ONNX Runtime's own quantization."""

    def make(folder: Path) -> None:
        from onnx import TensorProto
        from onnxruntime.quantization import quantize_dynamic

        write_graph(folder, "model.onnx")
        types = {"DefaultTensorType": TensorProto.FLOAT}  # of what ONNX Runtime's own operations give
        quantize_dynamic(folder / "model.onnx", folder / GRAPH, per_channel=per_channel, extra_options=types)

    return make


CANDIDATES: dict[str, Callable[[Path], None]] = {
    "fp32": lambda folder: write_graph(folder, GRAPH),
    "int8": lambda folder: write_graph(folder, GRAPH, eight_bits=True),
    "int8 weights": without_quantized_activations,
    "int8, fp32 words": with_exact_words,
    "dynamic": dynamic(per_channel=False),
    "dynamic, channels": dynamic(per_channel=True),
}


def predictors(model: Path, folder: Path) -> dict[str, FillMask]:
    """Each candidate, made in a folder of its own."""
    found = {}
    for number, (name, make) in enumerate(CANDIDATES.items()):
        own = folder / str(number)
        own.mkdir()
        for file in model.iterdir():
            if file.suffix in (".json", ".safetensors", ".txt"):
                shutil.copy(file, own)
        make(own)
        found[name] = FillMask(OnnxRunner(own, GRAPH), WordPieces.load(own))
    return found | {"bf16": FillMask.load(model, "bf16")}


def read_sentences(file: Path) -> list[ClozeRow]:
    """The rows of either layout."""
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [
        ClozeRow(row.get("input_string", row.get("text")), str(row.get("title", row.get("answer")))) for row in rows
    ]


def speeds(found: dict[str, FillMask], rounds: int) -> dict[str, dict[str, float]]:
    """How many times as fast as fp32 each is, by workload."""
    took: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 2):
        for workload, texts in workloads().items():
            for name, predictor in found.items():
                start = time.perf_counter()
                predictor.predict(texts)
                if number > 1:
                    took.setdefault((name, workload), []).append(time.perf_counter() - start)
        print(f"speed: round {number + 1} of {rounds + 2}", file=sys.stderr, flush=True)
    return {
        name: {
            workload: statistics.median(
                a / b for a, b in zip(took["fp32", workload], took[name, workload], strict=True)
            )
            for workload in workloads()
        }
        for name in found
    }


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    table = Table(title="lower precisions beside fp32")
    for heading in ("candidate", "agreement", "top-1", "depend on the batch", "gate", *workloads()):
        table.add_column(heading, justify="left" if heading in ("candidate", "gate") else "right")
    for row in rows:
        verdict = "passes" if row["passes"] else "refused"
        ratios = [f"{row['speed'][workload]:.2f}" for workload in workloads()]
        shares = [f"{row[name]:.1%}" for name in ("agreement", "top_1")]
        table.add_row(row["candidate"], *shares, str(row["depends_on_batch"]), verdict, *ratios)
    Console(width=120).print(table)


@plain_errors()
def main() -> None:
    """Judge, measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sentences", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sentences = read_sentences(options.sentences)
    with tempfile.TemporaryDirectory() as folder:
        found = predictors(options.model, Path(folder))
        ratios = speeds(found, options.rounds)
        rows = []
        for name, predictor in found.items():
            verdict = judge(found["fp32"], predictor, sentences)
            rows.append({"candidate": name, **asdict(verdict), "passes": verdict.passes, "speed": ratios[name]})
            print(f"{name}: {verdict}", file=sys.stderr, flush=True)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
