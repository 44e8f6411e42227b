"""How fast a distillation step is on a GPU, beside the textbook step on the same card in the same precision.

    python benchmarks/gpu_step.py --sequences DIR [--rows 64 128] [--rounds 10] [--dropout 0.1] [--json FILE]

DIR is a folder of `preprocess` (--max_seq_length 512 for the real size). BERT-base and a student of six layers, in bf16
or, on cards before Ampere, fp16. A step is forward and backward pass of micro-batches; the optimizer, the same for all,
is left out. First, losses and gradients on the same sequences are compared; the program ends if they differ. Variants:

    textbook  padded batches of sequences of like length, all logits of teacher and student, torch's loss modules, real
              tokens chosen by `masked_select` as in the original code
    indexed   the same with tokens chosen by an index, as most write it
    masked    packed rows as this package trains on them, with attention under a mask alone
    package   the same with attention by sequences where the card has a kernel for it
    compiled  the same with layers that torch has compiled, `torch_compile`; on a CPU no other than `package`

Rounds are interleaved; ratios are medians over rounds of real (not padding) tokens a second. The peak is a large matrix
product's in the same precision, in each round. Memory is what torch allocates at most above what was there before.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from plain_errors import plain_errors
from rich.console import Console
from rich.progress import track
from rich.table import Table
from textbook_step import WEIGHTS, at, padded, selected, textbook_losses
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from bert_distillation import masked_lm
from bert_distillation.batches import MaskedSequences
from bert_distillation.compiling import compile_layers
from bert_distillation.flops import distillation_flops
from bert_distillation.frozen import freeze_teacher
from bert_distillation.layer_norms import keep_half_precision
from bert_distillation.losses import Distillation, token_counts
from bert_distillation.masked_lm import freeze_idle_biases
from bert_distillation.packing import Packing
from bert_distillation.precision import DTYPES, resolve_precision
from bert_distillation.sequences import open_sequences, open_tokenizer, read_metadata, sequence_lengths
from bert_distillation.student import student_from_teacher

VARIANTS = ("textbook", "indexed", "masked", "package", "compiled")
CHOICES = {"textbook": selected, "indexed": at}
WARM_UP = 2
CHECKED_ROWS = 8  # that losses and gradients are compared on
SAME = (0.02, 0.05)  # relative differences, of losses and of the gradient, that half precision explains

Batch = dict[str, Tensor]
Found = dict[str, list[tuple[float, float, float]]]  # of each variant and round: tokens/s, share of the peak, bytes


class Bench:
    """Models on a device, and batches of all variants with about as many real tokens."""

    def __init__(self, options: argparse.Namespace):
        self.device = torch.device(options.device)
        self.precision = resolve_precision(options.mixed_precision)
        folder: Path = options.sequences
        self.tokenizer, self.corpus = open_tokenizer(folder), open_sequences(folder)
        self.row_length, self.count = read_metadata(folder).max_seq_length, options.rows[0]
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(self.tokenizer),
            hidden_size=options.hidden_size,
            num_hidden_layers=options.num_layers,
            num_attention_heads=options.hidden_size // 64,
            intermediate_size=4 * options.hidden_size,
            initializer_range=0.06,  # so that teacher and student differ by more than rounding
        )
        teacher = BertForMaskedLM(config).eval()
        student = student_from_teacher(teacher, options.num_layers // 2, dropout=options.dropout).to(self.device)
        freeze_idle_biases(student)
        plain_teacher = copy.deepcopy(teacher).requires_grad_(False).to(self.device, DTYPES[self.precision])
        self.pairs = dict.fromkeys(CHOICES, (copy.deepcopy(student), plain_teacher))
        keep_half_precision(student, self.device, self.precision)
        for variant in ("package", "compiled"):
            frozen = freeze_teacher(copy.deepcopy(teacher), self.device, DTYPES[self.precision])
            self.pairs[variant] = (copy.deepcopy(student), frozen)
        self.pairs["masked"] = self.pairs["package"]
        for model in self.pairs["compiled"]:
            compile_layers(model, self.device)
        self.flops = distillation_flops(config, student.config, self.row_length).total
        lengths = sequence_lengths(self.corpus)
        self.packing = Packing(lengths, self.row_length, seed=0)
        self.dataset = MaskedSequences(self.corpus, self.tokenizer, 0.15, 0, self.row_length)
        self.by_length = torch.as_tensor(lengths).argsort(stable=True)
        self.sorted_lengths = torch.as_tensor(lengths).long()[self.by_length]
        self.draw = torch.Generator().manual_seed(0)
        # As the scaler of a training in fp16: without, most of a gradient would be too small for it.
        self.loss_scale = 2.0**16 if self.precision == "fp16" else 1.0

    def rows(self, number: int) -> list[tuple[int, tuple[int, ...]]]:
        """The packed rows of one micro-batch."""
        first = number * self.count
        return [(0, self.packing.row(0, row % self.packing.num_rows)) for row in range(first, first + self.count)]

    def batch(self, variant: str, number: int) -> Batch:
        """One micro-batch, on the device."""
        if variant in CHOICES:
            return self.to_device(padded(self.dataset, [(0, (index,)) for index in self.like_length()]))
        return self.to_device(self.dataset.__getitems__(self.rows(number)))

    def like_length(self) -> list[int]:
        """Sequences of like length that, padded, are as many tokens as the packed rows."""
        start = int(torch.randint(len(self.by_length), (1,), generator=self.draw))
        longest = self.sorted_lengths[start:]
        count = int((longest * torch.arange(1, len(longest) + 1) <= self.count * self.row_length).sum())
        return self.by_length[start : start + count].tolist()

    def scales(self, variant: str, batch: Batch) -> dict[str, Tensor]:
        """What the sum of each loss is multiplied with; nothing for the textbook, whose losses are means."""
        if variant in CHOICES:
            return {}
        counts = token_counts(batch)
        return {name: torch.tensor(weight / counts[name], device=self.device) for name, weight in WEIGHTS.items()}

    def to_device(self, batch: Batch) -> Batch:
        """The batch where the models are."""
        return {name: part.to(self.device) for name, part in batch.items()}

    def losses(self, variant: str, batch: Batch, scales: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, which has gradients, and the three losses: textbook's means, else sums."""
        enabled = self.precision != "no"
        with torch.autocast(self.device.type, DTYPES[self.precision] if enabled else None, enabled=enabled):
            if variant in CHOICES:
                means = textbook_losses(*self.pairs[variant], batch, choose=CHOICES[variant])
                return sum(WEIGHTS[name] * loss for name, loss in means.items()), means
            objective = Distillation(*self.pairs[variant], 2.0, False)
            by_mask = patch.object(masked_lm, "has_varlen_kernel", lambda *_: False)
            with by_mask if variant == "masked" else nullcontext():
                return objective(batch, scales)

    def require_same_step(self) -> dict[str, dict[str, float]]:
        """By what share losses and gradient differ from the textbook's without dropout; too much ends the program."""
        packed = self.rows(0)[:CHECKED_ROWS]
        alone = [(epoch, (index,)) for epoch, indices in packed for index in indices]
        in_rows = self.dataset.__getitems__(packed)
        batches = {variant: padded(self.dataset, alone) if variant in CHOICES else in_rows for variant in VARIANTS}
        found = {name: self.values_and_gradient(name, batch) for name, batch in batches.items()}
        losses, gradient = found["textbook"]
        off_by = {}
        for name, (values, own) in found.items():
            differences = {loss: abs(values[loss] / losses[loss] - 1) for loss in WEIGHTS}
            differences["gradient"] = float((own - gradient).norm() / gradient.norm())
            print(f"{name}: " + ", ".join(f"{loss} {value:.4f}" for loss, value in values.items()), end="; ")
            print("off by " + ", ".join(f"{difference:.1e}" for difference in differences.values()))
            for part, difference in differences.items():
                if not difference < SAME[part == "gradient"]:
                    hint = "" if self.precision == "no" else " Very small models may: try --mixed_precision no."
                    sys.exit(f"error: {name} and textbook differ in {part} by {difference:.1%}.{hint}")
            off_by[name] = differences
        return off_by

    def values_and_gradient(self, variant: str, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """The three losses, and the student's gradient as one vector."""
        student, _ = self.pairs[variant]
        student.eval().zero_grad(set_to_none=True)
        scales = self.scales(variant, batch)
        total, losses = self.losses(variant, self.to_device(batch), scales)
        (total * self.loss_scale).backward()
        trained = (parameter.grad for parameter in student.parameters() if parameter.grad is not None)
        gradient = torch.cat([part.flatten().float() for part in trained]) / self.loss_scale
        means = {name: losses[name] * (scales[name] / WEIGHTS[name] if scales else 1) for name in WEIGHTS}
        student.train().zero_grad(set_to_none=True)
        return {name: float(mean.detach()) for name, mean in means.items()}, gradient

    def run(self, variant: str, first: int, micro_batches: int) -> tuple[float, float]:
        """Real tokens a second over some micro-batches, and the bytes that they took at most above what was there."""
        batches = [self.batch(variant, first + place) for place in range(micro_batches)]
        scales = [self.scales(variant, batch) for batch in batches]
        tokens = sum(
            int(batch["attention_mask"].sum()) if "attention_mask" in batch else len(batch["input_ids"])
            for batch in batches
        )
        for student, _ in self.pairs.values():
            student.zero_grad(set_to_none=True)

        def steps() -> None:
            for batch, own in zip(batches, scales, strict=True):
                (self.losses(variant, batch, own)[0] * self.loss_scale).backward()

        seconds, taken = timed(steps, self.device)
        return tokens / seconds, taken


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Seconds until the device has done the work, and the bytes that torch allocated at most above what was there."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start, 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, start = torch.cuda.memory_allocated(), time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start, float(torch.cuda.max_memory_allocated() - before)


def matrix_peak(device: torch.device, precision: str) -> float:
    """FLOP a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=DTYPES[precision]) for _ in range(2))
    return max(2 * size**3 / timed(lambda: a @ b, device)[0] for _ in range(5))


def measure(bench: Bench, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each variant that fits into memory: medians over rounds."""
    found: Found = {variant: [] for variant in VARIANTS}
    for number in track(range(WARM_UP + options.rounds), "rounds", console=Console(stderr=True)):
        peak = matrix_peak(bench.device, bench.precision)
        for variant in list(found):
            try:
                rate, taken = bench.run(variant, number * options.micro_batches, options.micro_batches)
            except torch.OutOfMemoryError:
                print(f"{variant}: {bench.count} rows do not fit into the memory of this card")
                del found[variant]
                continue
            if number >= WARM_UP:
                found[variant].append((rate, rate * bench.flops / peak, taken))
    base = next((variant for variant in CHOICES if variant in found), None)
    return [{"rows": bench.count} | row_of(variant, base, found, bench.flops) for variant in found]


def row_of(variant: str, base: str | None, found: Found, flops: float) -> dict[str, Any]:
    """What is written of a variant; ratios are to the first textbook that fits."""
    rates, shares, taken = zip(*found[variant], strict=True)
    others = found[base] if base else []
    memory, of_base = max(taken), max((bytes_ for _, _, bytes_ in others), default=0.0)
    return {
        "variant": variant,
        "tokens_per_second": statistics.median(rates),
        "ratio": statistics.median(a / b for a, (b, _, _) in zip(rates, others, strict=True)) if base else None,
        "flops_per_second": statistics.median(rates) * flops,
        "peak_share": statistics.median(shares),
        "memory_bytes": memory,
        "ratio_memory": memory / of_base if of_base else None,
    }


def show(rows: list[dict[str, Any]], title: str) -> None:
    """The table."""
    table = Table(title=title)
    for heading in ("variant", "tokens/s", "to textbook", "TFLOP/s", "of peak", "memory", "of textbook"):
        table.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
        numbers = [f"{row['tokens_per_second']:,.0f}", ratio, f"{row['flops_per_second'] / 1e12:.1f}"]
        memory = f"{row['memory_bytes'] / 1e9:.1f} GB" if row["memory_bytes"] else ""
        of_textbook = f"{row['ratio_memory']:.2f}" if row["ratio_memory"] else ""
        table.add_row(row["variant"], *numbers, f"{row['peak_share']:.1%}", memory, of_textbook)
    Console(width=110).print(table)


@plain_errors()
def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[64], help="packed rows of a micro-batch (default: 64)")
    parser.add_argument("--micro_batches", type=int, default=4, help="of each variant a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--dropout", type=float, default=0.1, help="of the student (default: %(default)s)")
    parser.add_argument("--mixed_precision", choices=("auto", "no", "fp16", "bf16"), default="auto")
    parser.add_argument("--hidden_size", type=int, default=768)
    parser.add_argument("--num_layers", type=int, default=12, help="of the teacher; the student has half")
    parser.add_argument("--device", default="cuda", help="cpu tries the program out (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here; --device cpu tries the program out")
    bench = Bench(options)
    off_by = bench.require_same_step()
    name = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    rest = f"tokens, dropout {options.dropout}, medians of {options.rounds} rounds"
    rows: list[dict[str, Any]] = []
    for count in options.rows:
        bench.count = count
        rows += (found := measure(bench, options))
        show(found, f"{name}, {bench.precision}, {bench.count} x {bench.row_length} {rest}")
    if options.json:
        content = {"device": name, "precision": bench.precision, "off_by": off_by, "rows": rows}
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
