"""What a model makes of the masked tokens of held-out text: loss, accuracy, where it fails, and what another says."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bert_distillation import hub
from bert_distillation.batches import MaskedSequences
from bert_distillation.bootstrap import ratio_of_sums, with_interval
from bert_distillation.errors import InputError
from bert_distillation.held_out import masked_logits
from bert_distillation.masking import MLM_PROBABILITY
from bert_distillation.options import existing_folder
from bert_distillation.sampling import draw
from bert_distillation.sequences import open_sequences, read_metadata
from bert_distillation.subject import Subject

BINS = 8  # of positions


@dataclass(frozen=True)
class MaskedTokens:
    """(M,) arrays over the masked tokens."""

    sequence: np.ndarray  # the number of the token's sequence
    position: np.ndarray  # where in the sequence it stands
    loss: np.ndarray  # in nats
    hit: np.ndarray  # whether the likeliest word is the true one
    top_k_hit: np.ndarray
    agrees: np.ndarray  # whether the other model's likeliest word is the same; empty without one


def masked_tokens(
    subject: Subject,
    folder: Path,
    *,
    batch_size: int,
    top_k: int,
    seed: int,
    max_samples: int = 0,
    other: Subject | None = None,
) -> MaskedTokens:
    """The scores of all masked tokens; equal seeds take the same sequences and mask the same tokens for every model.

    max_samples: sequences at most, drawn at random; 0 takes all.
    """
    sequences = open_sequences(folder)
    masked = MaskedSequences(sequences, subject.tokenizer, MLM_PROBABILITY, seed)
    chosen = draw(len(sequences), max_samples, seed)
    batches = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    parts = [_scores(subject, masked, rows, top_k, other) for rows in batches]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    if not len(columns[0]):
        raise InputError(f"held_out: no token of {folder} was masked; give more sequences.")
    return MaskedTokens(*columns)


def held_out_metrics(tokens: MaskedTokens, top_k: int, seed: int) -> dict[str, float]:
    """Masked-LM loss (nats a masked token) and accuracies; intervals are over sequences, whose tokens hang together."""
    _, number = np.unique(tokens.sequence, return_inverse=True)
    counts = np.bincount(number).astype(float)
    columns = {"mlm_loss": tokens.loss, "mlm_accuracy": tokens.hit, "mlm_top_k_accuracy": tokens.top_k_hit}
    if len(tokens.agrees):
        columns["teacher_agreement"] = tokens.agrees
    metrics: dict[str, float] = {}
    for name, values in columns.items():
        metrics |= with_interval(name, ratio_of_sums, np.bincount(number, weights=values), counts, seed=seed)
    return metrics | {"mlm_masked_tokens": len(tokens.loss), "top_k": top_k}


def by_position(tokens: MaskedTokens) -> list[dict[str, float]]:
    """Loss and accuracy by the place of the mask, in `BINS` stretches of equal length; empty ones are left out."""
    edges = np.unique(np.linspace(0, tokens.position.max() + 1, BINS + 1).astype(int))
    rows = []
    for first, end in pairwise(edges):
        here = (tokens.position >= first) & (tokens.position < end)
        if here.any():
            means = {"mlm_loss": tokens.loss[here].mean(), "mlm_accuracy": tokens.hit[here].mean()}
            row = {"first": int(first), "last": int(end) - 1, "masked_tokens": int(here.sum())}
            rows.append(row | {name: float(value) for name, value in means.items()})
    return rows


def check_held_out(folder: Path, **subjects: Subject) -> None:
    """Refuse sequences of another vocabulary, or longer than a model can take. subjects: by what they are called."""
    existing_folder("held_out", folder, "the held-out sequences of `preprocess`")
    for of, subject in subjects.items():
        _check_fits(subject, folder, of)


def _check_fits(subject: Subject, folder: Path, of: str) -> None:
    metadata = read_metadata(folder)
    if metadata.tokenizer_fingerprint != hub.fingerprint(subject.tokenizer):
        raise InputError(
            f"held_out: {folder} was written with another tokenizer than the {of}'s; "
            f"run `preprocess` with the {of}'s tokenizer."
        )
    positions = subject.model.config.max_position_embeddings
    if metadata.max_seq_length > positions:
        raise InputError(
            f"held_out: sequences of {folder} have up to {metadata.max_seq_length} tokens, but the {of} has "
            f"{positions} positions; run `preprocess` with --max_seq_length {positions}."
        )


@torch.inference_mode()
def _scores(
    subject: Subject, masked: MaskedSequences, rows: np.ndarray, top_k: int, other: Subject | None
) -> tuple[np.ndarray, ...]:
    batch = masked.__getitems__([(0, (int(index),)) for index in rows])
    logits, labels = masked_logits(subject.model, batch)
    count, width = len(labels), batch["sequence_ids"].shape[1]
    words = logits.topk(min(top_k, logits.shape[-1])).indices
    hits = words == labels[:, None]
    agrees = masked_logits(other.model, batch)[0].argmax(dim=1) == words[:, 0] if other else hits[:0, 0]
    sequence = torch.from_numpy(rows)[batch["places"][:count] // width]
    loss = F.cross_entropy(logits, labels, reduction="none")
    return tuple(map(_plain, (sequence, batch["position_ids"][:count], loss, hits[:, 0], hits.any(dim=1), agrees)))


def _plain(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
