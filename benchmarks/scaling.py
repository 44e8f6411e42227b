"""Wall times, memory and communication of a distillation on GPUs, by arithmetic: the tables of docs/scaling.md.

    python benchmarks/scaling.py [--tokens 5.6e9 6.1e9] [--epochs 3] [--row_length 512]

Nothing here is measured on a GPU; `gpu_step.py` does that. Counted on real models are the parameters, and the bytes
that autograd keeps for a token.
"""

from __future__ import annotations

import argparse

import torch
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

from bert_distillation.flops import StepFlops, distillation_flops

# GPUs, and TFLOP/s of each (dense, half precision) by the vendor's data sheets.
MACHINES = {"8 x V100": (8, 125), "8 x A100": (8, 312), "8 x H100": (8, 989), "1 x T4": (1, 65)}
UTILISATIONS = (0.35, 0.40, 0.45)
# GPUs, GB/s in one direction that a ring gets: of a GPU within a node, of all adapters of a node between nodes.
LINKS = {
    "NVLink of V100": (8, 150),
    "NVLink of A100": (8, 300),
    "NVLink of H100": (8, 450),
    "PCIe 3.0 x16": (8, 16),
    "InfiniBand 100 Gb/s a node (ND40rs_v2), 2 nodes": (16, 12.5),
    "InfiniBand 8 x 200 Gb/s a node (ND96asr_v4), 2 nodes": (16, 200),
    "InfiniBand 8 x 400 Gb/s a node (ND96isr_H100_v5), 2 nodes": (16, 400),
}
NODES = {"V100": (125, 12.5, 150), "A100": (312, 200, 300), "H100": (989, 400, 450)}  # TFLOP/s, GB/s between and within
ROWS, ACCUMULATION = 5, 50  # of a GPU, in pipelines/distilbert.yml
CARDS = (16, 40, 80)
RESERVE = 0.15  # of a card: CUDA's own memory, and what the allocator cannot use
CHUNK_GB = 4 * 2**29 / 1e9  # teacher's and student's logits, their gradient and a copy, 512 MiB each
TEACHER, STUDENT = BertConfig(), DistilBertConfig()


def hours(flops: float, gpus: int, peak: float, utilisation: float) -> float:
    return flops / (gpus * peak * 1e12 * utilisation) / 3600


def wall_times(flops: StepFlops, tokens: list[float]) -> list[list[str]]:
    shares = [f"at {share * 100:.0f} %" for share in UTILISATIONS]
    rows = [["machine", *shares, "GPU hours at 40 %", "tokens/s of a GPU at 40 %"]]
    for name, (gpus, peak) in MACHINES.items():
        ranges = [[hours(flops.total * count, gpus, peak, share) for count in tokens] for share in UTILISATIONS]
        gpu_hours = [gpus * time for time in ranges[1]]
        rate = peak * 1e12 * UTILISATIONS[1] / flops.total
        cells = [f"{min(times):.1f}-{max(times):.1f} h" for times in ranges]
        rows.append([name, *cells, f"{min(gpu_hours):.1f}-{max(gpu_hours):.1f}", f"{rate / 1e3:.0f} k"])
    return rows


def parameters(model_class: type, config: BertConfig | DistilBertConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in model_class(config).parameters())


def saved_bytes(rows: int, row_length: int) -> int:
    """Bytes that autograd keeps for the backward pass of the student's body, in bf16."""
    # Attention dropout would take the CPU to a kernel that keeps all scores; the kernels of a GPU keep none.
    model = DistilBertForMaskedLM(DistilBertConfig(attention_dropout=0.0)).train()
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    input_ids = torch.zeros((rows, row_length), dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        output = model.distilbert(input_ids).last_hidden_state
    assert output.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


def bytes_per_token(row_length: int) -> float:
    """What one more row keeps, and in passing the teacher's or the backward pass's widest moment, a token."""
    kept = (saved_bytes(2, row_length) - saved_bytes(1, row_length)) / row_length
    in_passing = 2 * 2 * STUDENT.hidden_dim + 4 * 4 * STUDENT.dim  # in and out of the feed-forward layer, four states
    into_vocabulary = 4 * 4 * STUDENT.dim  # the states of both models, the transformed one and its gradient
    return kept + in_passing + into_vocabulary


def fixed_memory(teacher: int, student: int) -> list[list[str]]:
    parts = {
        "teacher: weights in half precision": teacher * 2,
        "student: weights in fp32 and their half-precision copy": student * 6,
        "student: gradients": student * 4,
        "student: two AdamW moments": student * 8,
        "buckets of the all-reduce, with several processes": student * 4,
        "vocabulary layers: a chunk of logits, four tensors": CHUNK_GB * 1e9,
    }
    rows = [["for each GPU", "GB"], *([name, f"{size / 1e9:.2f}"] for name, size in parts.items())]
    return [*rows, ["together", f"{sum(parts.values()) / 1e9:.2f}"]]


def largest_batches(fixed: float, per_token: float, row_length: int) -> list[list[str]]:
    rows = [["card", "tokens in one forward pass", f"rows of {row_length}"]]
    for card in CARDS:
        tokens = (card * (1 - RESERVE) - fixed) * 1e9 / per_token
        rows.append([f"{card} GB", f"{tokens / 1e3:.0f} k", f"{tokens // row_length:.0f}"])
    return rows


def all_reduce_seconds(gpus: int, bandwidth: float, student: int) -> float:
    """A ring sends and receives 2 (n - 1) / n times the gradients, in fp32."""
    return 2 * (gpus - 1) / gpus * student * 4 / (bandwidth * 1e9)


def all_reduces(student: int) -> list[list[str]]:
    rows = [["link", "GPUs", "GB/s one way", "one all-reduce"]]
    for name, (gpus, bandwidth) in LINKS.items():
        rows.append([name, f"{gpus}", f"{bandwidth:g}", f"{all_reduce_seconds(gpus, bandwidth, student) * 1e3:.1f} ms"])
    return rows


def nodes(flops: StepFlops, student: int, row_length: int) -> list[list[str]]:
    """Nothing of the all-reduce overlaps with the backward pass here; in truth some of it does."""
    rows = [["nodes of 8", "accumulation", *NODES]]
    for count, accumulation in ((1, ACCUMULATION), (2, ACCUMULATION // 2), (4, ACCUMULATION // 4), (4, 1)):
        cells = []
        for peak, between, within in NODES.values():
            compute = accumulation * ROWS * row_length * flops.total / (peak * 1e12 * 0.4)
            wait = all_reduce_seconds(8 * count, within if count == 1 else between, student)
            cells.append(f"{count * compute / (compute + wait):.2f}")
        rows.append([f"{count}", f"{accumulation}", *cells])
    return rows


def table(rows: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "| " + " | ".join("---" for _ in rows[0]) + " |", *body])


def show(title: str, rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n{table(rows)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=float, nargs="+", default=[5.6e9, 6.1e9], help="of the sequences")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--row_length", type=int, default=512)
    options = parser.parse_args()
    flops = distillation_flops(TEACHER, STUDENT, options.row_length)
    tokens = [options.epochs * count for count in options.tokens]
    work = " to ".join(f"{flops.total * count:.3g}" for count in tokens)
    print(f"{flops.total / 1e6:.0f} MFLOP a token at rows of {options.row_length}; {work} FLOP in all.")
    teacher, student = parameters(BertForMaskedLM, TEACHER), parameters(DistilBertForMaskedLM, STUDENT)
    memory, per_token = fixed_memory(teacher, student), bytes_per_token(options.row_length)
    show("Wall time at a share of the peak", wall_times(flops, tokens))
    show("Memory that does not depend on the batch", memory)
    print(f"\nActivations: {per_token / 1e3:.0f} kB a token.")
    show("Largest batch", largest_batches(float(memory[-1][1]), per_token, options.row_length))
    show(f"All-reduce of {student / 1e6:.1f}M gradients", all_reduces(student))
    show("Times one node's speed, at 40 % of the peak", nodes(flops, student, options.row_length))


if __name__ == "__main__":
    main()
