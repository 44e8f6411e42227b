"""Evaluate a masked-LM: loss and accuracy on held-out text, hits on sentences with a masked word, size and speed."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.batches import MaskedSequences
from bert_distillation.cloze import ClozeRow, read_cloze
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import Candidate, FillMask, WordPieces
from bert_distillation.held_out import masked_logits
from bert_distillation.masked_lm import MaskedLM, last_hidden_states, require_masked_lm, vocabulary_logits
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_seed,
    existing_folder,
    make_folder,
    option,
    required,
    run_step,
)
from bert_distillation.quiet import make_quiet
from bert_distillation.results import EVALUATION_METRICS, PREDICTIONS
from bert_distillation.sequences import open_sequences, read_metadata
from bert_distillation.torch_runner import TorchRunner
from bert_distillation.tracking import log_metrics, log_parameters, write_json, write_step

EXAMPLE = "Paris is the [MASK] of France."
MLM_PROBABILITY = 0.15
MAX_BATCH_SIZE = 65536
SPEED_LENGTH, SPEED_RUNS, LATENCY_RUNS = 128, 5, 20


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Inputs, output and settings of the evaluation."""

    model: Path | None = option(None, "Folder of the model in Hugging Face format.")
    model_name: str = option(hub.BERT, "Hub name of the model, where no folder is given.")
    mlflow_model: Path | None = option(None, "Folder written by `export`; wins over `model`.")
    held_out: Path | None = option(None, "Held-out sequences written by `preprocess`.")
    test_data: Path | None = option(None, "jsonl file, or a folder with one: rows of input_string and title.")
    evaluation_result: Path = required("Folder for evaluationResult/metrics.json and predictions.jsonl.")
    batch_size: int = option(16, "Sequences in one forward pass.")
    max_samples: int = option(0, "Evaluate this many held-out sequences and this many test rows; 0 means all.")
    top_k: int = option(5, "A hit among this many candidates counts for the top-k accuracies.")
    device: str = option("auto", "auto, cpu or gpu.")
    seed: int = option(0, "Seed of the masks: equal seeds mask the same tokens for every model.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        check_at_least(self, 1, "batch_size", "top_k")
        check_at_least(self, 0, "max_samples")
        check_seed(self)
        if self.batch_size > MAX_BATCH_SIZE:
            raise InputError(f"batch_size must be at most {MAX_BATCH_SIZE}, got {self.batch_size}.")
        check_choice(self, "device", ("auto", "cpu", "gpu"))


def evaluate(config: EvaluateConfig) -> None:
    """Measure, print, log and write the metrics."""
    make_quiet()
    make_folder("evaluation_result", config.evaluation_result)
    log_parameters(config)
    subject = load_subject(config)
    metrics = size(subject)
    if config.held_out is not None:
        metrics |= held_out_metrics(subject, config, config.held_out)
    if config.test_data is not None:
        metrics |= cloze_metrics(subject, config, config.test_data)
    metrics |= speed(subject, config.batch_size)

    output = config.evaluation_result
    write_json(output / EVALUATION_METRICS, metrics)
    inputs = ("model", "mlflow_model", "held_out", "test_data")
    write_step(output, "evaluate", config, {name: getattr(config, name) for name in inputs})
    log_metrics(metrics)
    for name, value in metrics.items():
        print(f"{name}: {value:,.4f}".rstrip("0").rstrip("."), flush=True)


@dataclass(frozen=True)
class Subject:
    """The model that is evaluated."""

    model: MaskedLM
    tokenizer: PreTrainedTokenizerFast

    @cached_property
    def predictor(self) -> FillMask:
        """What answers texts with it."""
        return FillMask(TorchRunner(self.model), WordPieces.of(self.tokenizer))


def load_subject(config: EvaluateConfig) -> Subject:
    """The model to evaluate, on its device."""
    if config.device == "gpu" and not torch.cuda.is_available():
        raise InputError("device is gpu, but this machine has none that torch can use; give cpu or auto.")
    folder, of = config.model, "model"
    if config.mlflow_model is not None:
        folder, of = config.mlflow_model / "model", "mlflow_model"
        existing_folder(of, folder, "the Hugging Face model of an MLflow model written by `export`")
    model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, folder, config.model_name, of=of), of)
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    model.to(torch.device("cuda" if on_gpu else "cpu"))  # type: ignore[arg-type]
    return Subject(model, hub.load_tokenizer(folder, config.model_name, of=of))


def size(subject: Subject) -> dict[str, float]:
    """Parameters, tied ones once, and their size in megabytes (10^6 bytes)."""
    parameters = list(subject.model.parameters())
    size_bytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    return {
        "num_parameters": sum(parameter.numel() for parameter in parameters),
        "size_megabytes": round(size_bytes / 1e6, 3),
    }


@torch.inference_mode()
def held_out_metrics(subject: Subject, config: EvaluateConfig, folder: Path) -> dict[str, float]:
    """Masked-LM loss (nats a masked token), accuracy and top-k accuracy on held-out sequences, masked by the seed."""
    check_same_tokenizer(subject, folder)
    sequences = open_sequences(folder)
    masked = MaskedSequences(sequences, subject.tokenizer, MLM_PROBABILITY, config.seed)
    count = min(config.max_samples or len(sequences), len(sequences))
    totals = torch.zeros(4, dtype=torch.float64)
    for start in range(0, count, config.batch_size):
        rows = [(0, (index,)) for index in range(start, min(start + config.batch_size, count))]
        totals += masked_sums(subject, masked.__getitems__(rows), config.top_k)
    tokens, loss, hits, top_k_hits = totals.tolist()
    if tokens == 0:
        raise InputError(f"held_out: no token of {folder} was masked; give more sequences.")
    return {
        "mlm_loss": loss / tokens,
        "mlm_accuracy": hits / tokens,
        "mlm_top_k_accuracy": top_k_hits / tokens,
        "mlm_masked_tokens": int(tokens),
        "top_k": config.top_k,
    }


def check_same_tokenizer(subject: Subject, folder: Path) -> None:
    """Refuse sequences of another vocabulary, or longer than the model can take."""
    metadata = read_metadata(folder)
    if metadata.tokenizer_fingerprint != hub.fingerprint(subject.tokenizer):
        raise InputError(
            f"held_out: {folder} was written with another tokenizer than the model's; "
            "run `preprocess` with the model's tokenizer."
        )
    positions = subject.model.config.max_position_embeddings
    if metadata.max_seq_length > positions:
        raise InputError(
            f"held_out: sequences of {folder} have up to {metadata.max_seq_length} tokens, but the model has "
            f"{positions} positions; run `preprocess` with --max_seq_length {positions}."
        )


def masked_sums(subject: Subject, batch: dict[str, Tensor], top_k: int) -> Tensor:
    """(4,) sums over the masked tokens of a batch: their number, loss, hits and top-k hits."""
    logits, labels = masked_logits(subject.model, batch)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    hits = logits.topk(min(top_k, logits.shape[-1])).indices == labels[:, None]
    sums = [loss, hits[:, 0].sum(), hits.any(dim=1).sum()]
    return torch.tensor([labels.numel(), *(value.item() for value in sums)], dtype=torch.float64)


def cloze_metrics(subject: Subject, config: EvaluateConfig, test_data: Path) -> dict[str, float]:
    """Share of rows whose word is the first candidate, and among the first `top_k`; writes the predictions."""
    rows, skipped = read_cloze(test_data, subject.tokenizer.mask_token)
    rows = rows[: config.max_samples or len(rows)]
    answers = subject.predictor.predict([row.input_string for row in rows], config.top_k)
    ranks = [rank_of(subject, row, answer) for row, answer in zip(rows, answers, strict=True)]
    predictions = [
        asdict(row) | {"prediction": answer[0].token, "rank": rank, "candidates": [asdict(word) for word in answer]}
        for row, answer, rank in zip(rows, answers, ranks, strict=True)
    ]
    write_jsonl(config.evaluation_result / PREDICTIONS, predictions)
    return {
        "exact_match": sum(rank == 1 for rank in ranks) / len(ranks),
        "top_k_accuracy": sum(rank is not None for rank in ranks) / len(ranks),
        "top_k": config.top_k,
        "test_rows": len(rows),
        "skipped_rows": skipped,
    }


def rank_of(subject: Subject, row: ClozeRow, answer: list[Candidate]) -> int | None:
    """The place, from 1, of the row's word among the candidates; the tokenizer decides what is the same word."""
    pieces = subject.tokenizer.tokenize(row.title)
    return next((rank for rank, word in enumerate(answer, start=1) if [word.token] == pieces), None)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@torch.inference_mode()
def speed(subject: Subject, batch_size: int) -> dict[str, float]:
    """Throughput on full batches with one mask a sequence, and the time of one short request, on this machine."""
    model, device = subject.model, subject.model.device
    length = min(SPEED_LENGTH, model.config.max_position_embeddings)
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(len(subject.tokenizer), (batch_size, length), generator=generator).to(device)
    ones, zeros = torch.ones_like(input_ids), torch.zeros_like(input_ids)

    def one_batch() -> None:
        vocabulary_logits(model, last_hidden_states(model, input_ids, ones, zeros)[:, 0]).sum().item()

    example = EXAMPLE.replace("[MASK]", subject.tokenizer.mask_token)
    return {
        "tokens_per_second": batch_size * length / median_seconds(one_batch, SPEED_RUNS),
        "latency_milliseconds": 1000 * median_seconds(lambda: subject.predictor.predict([example]), LATENCY_RUNS),
    }


def median_seconds(work: Callable[[], Any], runs: int) -> float:
    """Median time of `runs` calls, after one that warms up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    run_step(EvaluateConfig, evaluate)
