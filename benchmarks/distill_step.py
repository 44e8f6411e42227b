"""How fast a distillation step is, beside the textbook step: one process, all variants in turn, on the same real text.

    python benchmarks/distill_step.py --sequences DIR [--sizes base-8 small-32] [--rounds 10] [--json FILE]

DIR is a folder of `preprocess` (--max_seq_length 128). A step here is forward and backward pass of one micro-batch; the
optimizer, which is the same for all, is left out. Tokens are real ones, padding is none. Variants:

    random   the textbook: padded batches at random, all logits of teacher and student, torch's loss modules, fp32
    grouped  the same, its batches from sequences of like length, as the original code made them
    grouped_bf16  the same under bf16 autocast, the teacher's weights in bf16 as well
    packed   real tokens only, attention in packed rows; all logits, torch's functions
    chunked  the same with the chunked vocabulary layer: this package in fp32
    bf16     this package in bf16, the teacher's weights as well
    masked   the same with soft targets on masked tokens alone, which is another objective

Ratios are medians over rounds, each a pair within a round. The peak is that of the largest matrix product measured in
the same run and precision. Memory is the peak of the process above weights and optimizer, in a process per variant.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plain_errors import plain_errors

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000"}
ALLOCATOR |= {"MALLOC_TOP_PAD_": "268435456", "OMP_WAIT_POLICY": "PASSIVE"}
TEXTBOOK = ("random", "grouped", "grouped_bf16")
OURS = ("chunked", "bf16", "masked")  # this package's objective
VARIANTS = (*TEXTBOOK, "packed", *OURS)
SHAPES = {"base": (768, 12), "small": (256, 4)}  # hidden units, teacher's layers
WARM_UP, MOST_ROUNDS = 2, 100
GOLDEN = (5**0.5 - 1) / 2  # the first multiples of this share of a circle lie evenly on it, however many


@dataclass(frozen=True)
class Size:
    """`base-8`: BERT-base and its student, 8 sequences of up to 128 tokens at a time."""

    name: str

    def __post_init__(self) -> None:
        kind, _, count = self.name.partition("-")
        if kind not in SHAPES or not count.isdecimal() or int(count) < 1:
            raise argparse.ArgumentTypeError(f"a size is such as base-8 or small-32, not {self.name!r}")

    @property
    def width(self) -> int:
        """Hidden units of both."""
        return SHAPES[self.name.partition("-")[0]][0]

    @property
    def layers(self) -> int:
        """Of the teacher; the student has half of them."""
        return SHAPES[self.name.partition("-")[0]][1]

    @property
    def sequences(self) -> int:
        """In a batch, and so rows of 128."""
        return int(self.name.partition("-")[2])


class Bench:
    """Models, data and one micro-step of each variant."""

    def __init__(self, size: Size, folder: Path, dropout: float, variants: Sequence[str]):
        import torch
        from transformers import BertConfig, BertForMaskedLM

        from bert_distillation.batches import MaskedSequences
        from bert_distillation.frozen import freeze_teacher
        from bert_distillation.packing import Packing
        from bert_distillation.sequences import open_sequences, open_tokenizer, read_metadata, sequence_lengths
        from bert_distillation.student import student_from_teacher

        torch.manual_seed(0)
        self.size, self.tokenizer = size, open_tokenizer(folder)
        self.corpus, length = open_sequences(folder), read_metadata(folder).max_seq_length
        heads, units = size.width // 64, 4 * size.width
        self.teacher = BertForMaskedLM(
            BertConfig(
                vocab_size=len(self.tokenizer),
                hidden_size=size.width,
                num_hidden_layers=size.layers,
                num_attention_heads=heads,
                intermediate_size=units,
            )
        ).eval()
        self.student = student_from_teacher(self.teacher.requires_grad_(False), size.layers // 2, dropout=dropout)
        self.frozen = {
            name: freeze_teacher(copy.deepcopy(self.teacher), torch.device("cpu"), getattr(torch, name))
            for name in {precision(variant) for variant in variants if variant in OURS}
        }
        self.packing = Packing(lengths := sequence_lengths(self.corpus), length, seed=0)
        self.rows = MaskedSequences(self.corpus, self.tokenizer, 0.15, 0, length)
        self.row_length = length
        # Drawn apart from the models, and alike all batches there are, or a few rounds would measure their luck.
        draw = torch.Generator().manual_seed(0)
        order, sizes = torch.randperm(len(lengths), generator=draw), torch.as_tensor(lengths, dtype=torch.float)
        whole = len(order) // size.sequences * size.sequences
        at_random = order[:whole].view(-1, size.sequences)
        by_length = order[sizes[order].argsort(stable=True)][:whole].view(-1, size.sequences)
        fill = sizes[at_random].mean(1) / sizes[at_random].amax(1)
        self.textbook = {
            "random": spread(at_random, fill, draw),
            "grouped": (of_like_length := spread(by_length, sizes[by_length].mean(1), draw)),
            "grouped_bf16": of_like_length,
        }
        if "grouped_bf16" in variants:
            self.half_teacher = copy.deepcopy(self.teacher).bfloat16()

    def batch(self, variant: str, step: int) -> dict[str, Any]:
        """The micro-batch of a step; textbook variants have one sequence a row, the others as many as fit."""
        count = self.size.sequences
        if variant in TEXTBOOK:
            indices = self.textbook[variant][step][:count].tolist()
            from textbook_step import padded

            return padded(self.rows, [(0, (index,)) for index in indices])
        return self.rows.__getitems__([(0, self.packing.row(0, step * count + row)) for row in range(count)])

    def step(self, variant: str, batch: dict[str, Any]) -> float:
        """Forward and backward pass; returns the loss."""
        import torch
        from textbook_step import WEIGHTS, packed_loss, textbook_loss

        from bert_distillation.losses import Distillation, token_counts

        if variant == "grouped_bf16":
            with torch.autocast("cpu", torch.bfloat16):
                loss = textbook_loss(self.student, self.half_teacher, batch)
        elif variant in TEXTBOOK:
            loss = textbook_loss(self.student, self.teacher, batch)
        elif variant == "packed":
            loss = packed_loss(self.student, self.teacher, batch)
        else:
            restrict, half = variant == "masked", precision(variant) == "bfloat16"
            objective = Distillation(self.student, self.frozen[precision(variant)], 2.0, restrict)
            counts = token_counts(batch, restrict)
            scales = {name: torch.tensor(w / counts[name]) for name, w in WEIGHTS.items()}
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss, _ = objective(batch, scales)
        loss.backward()
        return float(loss.detach())


def spread(batches: Any, measure: Any, draw: Any) -> Any:
    """(`MOST_ROUNDS`, n) of the (N, n) batches, evenly spaced by a measure, (N,), however few are taken."""
    import torch

    places = (torch.arange(MOST_ROUNDS) * GOLDEN % 1 + torch.rand(1, generator=draw)) % 1
    return batches[measure.argsort(stable=True)[(places * len(batches)).long()]]


def precision(variant: str) -> str:
    """What a variant computes in."""
    return "bfloat16" if variant in ("grouped_bf16", "bf16", "masked") else "float32"


def matrix_peak(dtype: str) -> float:
    """FLOP a second of a large matrix product."""
    import torch

    a, b = (torch.randn(2048, 2048).to(getattr(torch, dtype)) for _ in range(2))
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
    return best


def measure(size: Size, folder: Path, rounds: int, dropout: float, variants: list[str]) -> list[dict[str, Any]]:
    """A row a variant: medians over rounds of tokens per second and of the ratios within a round."""
    from bert_distillation.flops import distillation_flops

    bench = Bench(size, folder, dropout, variants)
    per_token = distillation_flops(bench.teacher.config, bench.student.config, bench.row_length).total
    wall: dict[str, list[float]] = {variant: [] for variant in variants}
    cpu: dict[str, list[float]] = {variant: [] for variant in variants}
    shares: dict[str, list[float]] = {variant: [] for variant in variants}
    for number in range(WARM_UP + rounds):
        peaks = {dtype: matrix_peak(dtype) for dtype in sorted({precision(variant) for variant in variants})}
        for variant in variants:
            batch = bench.batch(variant, number)
            tokens = int(batch["attention_mask"].sum()) if "attention_mask" in batch else len(batch["input_ids"])
            bench.student.zero_grad(set_to_none=True)
            start, cpu_start = time.perf_counter(), time.process_time()
            bench.step(variant, batch)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            if number >= WARM_UP:
                wall[variant].append(tokens / seconds)
                cpu[variant].append(tokens / cpu_seconds)
                shares[variant].append(per_token * tokens / seconds / peaks[precision(variant)])
        print(f"{size.name}: round {number + 1} of {WARM_UP + rounds}", file=sys.stderr, flush=True)
    rows = []
    for variant in variants:
        row = {"size": size.name, "variant": variant, "tokens_per_second": statistics.median(wall[variant])}
        row["tokens_per_cpu_second"] = statistics.median(cpu[variant])
        for other in TEXTBOOK:
            if other in variants:
                pairs = zip(cpu[variant], cpu[other], strict=True)
                row[f"ratio_{other}"] = statistics.median(a / b for a, b in pairs)
        row["peak_share"] = None if variant == "masked" else statistics.median(shares[variant])
        rows.append(row)
    return rows


def memory(size: Size, folder: Path, dropout: float, variant: str) -> float:
    """Peak bytes of this process above weights and optimizer, over three steps.

    What libraries load and compile once, in a first step on one row, is not counted, for any variant.
    """
    bench = Bench(size, folder, dropout, [variant])
    batches = [bench.batch(variant, step) for step in range(3)]
    whole, bench.size = bench.size, Size(f"{size.name.partition('-')[0]}-1")
    bench.step(variant, bench.batch(variant, 0))
    bench.size = whole
    bench.student.zero_grad(set_to_none=True)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _kilobytes(status(), "VmRSS")
    for batch in batches:
        bench.student.zero_grad(set_to_none=True)
        bench.step(variant, batch)
    return 1024.0 * (_kilobytes(status(), "VmHWM") - before)


def _kilobytes(status: str, name: str) -> int:
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


@plain_errors()
def main() -> None:
    """Measure and show."""
    from rich.console import Console
    from step_table import table_of_steps

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", type=Size, default=[*map(Size, ("base-8", "base-32", "small-32"))])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="default: those this CPU has instructions for")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--dropout", type=float, default=0.0, help="of the student (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.rounds <= MOST_ROUNDS - WARM_UP:
        parser.error(f"--rounds must be from 1 to {MOST_ROUNDS - WARM_UP}, got {options.rounds}")
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    if not options.variants:
        from bert_distillation.precision import cpu_has_bf16

        options.variants = [name for name in VARIANTS if precision(name) == "float32" or cpu_has_bf16()]
    if options.memory_of:
        print(memory(options.sizes[0], options.sequences, options.dropout, options.memory_of))
        return
    rows = []
    for size in options.sizes:
        peaks = {variant: _memory_elsewhere(size, variant, options) for variant in options.variants}
        for row in measure(size, options.sequences, options.rounds, options.dropout, options.variants):
            row["memory_bytes"] = peak = peaks[row["variant"]]
            rows.append(row | {"ratio_memory": peak / peaks["random"] if "random" in peaks else None})
    title = f"dropout {options.dropout}, medians of {options.rounds} rounds"
    Console(width=120).print(table_of_steps(title, rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _memory_elsewhere(size: Size, variant: str, options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--sequences", str(options.sequences), "--sizes", size.name]
    command += ["--dropout", str(options.dropout), "--memory-of", variant]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


if __name__ == "__main__":
    main()
