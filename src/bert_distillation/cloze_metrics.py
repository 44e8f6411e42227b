"""How often a model puts the right words into the masks of test sentences, and what it says instead."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bert_distillation.bootstrap import ratio_of_sums, with_interval
from bert_distillation.cloze import ClozeRow
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import Candidate, FillMask, batches_by_length, likeliest

ROWS_AT_ONCE = 1024

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskAnswer:
    """What the model says of one mask."""

    candidates: list[Candidate]
    rank: int | None  # of the true word among the candidates, from 1
    loss: float | None  # in nats; None where the true word is not one word piece


@dataclass(frozen=True)
class RowAnswer:
    """A row with the answers for its masks, in the text's order."""

    row: ClozeRow
    masks: list[MaskAnswer]
    filled: str  # the text with the likeliest words in place of the masks

    @property
    def rank(self) -> int | None:
        """The worst rank of its masks; None where a true word is not among the candidates."""
        ranks = [mask.rank for mask in self.masks]
        return None if None in ranks else max(rank for rank in ranks if rank is not None)

    def record(self) -> dict[str, Any]:
        """A line of predictions.jsonl; `candidates` are those of the first mask, the others' are in `more_masks`."""
        words = [mask.candidates[0].token for mask in self.masks]
        losses = [mask.loss for mask in self.masks if mask.loss is not None]
        record = asdict(self.row) | {"prediction": " ".join(words), "rank": self.rank, "filled": self.filled}
        record |= {"loss": sum(losses) if losses else None}
        first, *others = [[asdict(word) for word in mask.candidates] for mask in self.masks]
        return record | {"candidates": first} | ({"more_masks": others} if others else {})


def answer_rows(predictor: FillMask, rows: Sequence[ClozeRow], top_k: int) -> Iterator[list[RowAnswer]]:
    """The answers to all rows, `ROWS_AT_ONCE` at a time; the masks of a text are filled independently.

    A text whose masks are further apart than the model reads is left out.
    """
    for start in range(0, len(rows), ROWS_AT_ONCE):
        asked, encoded = [], []
        for row in rows[start : start + ROWS_AT_ONCE]:
            try:
                encoded += predictor.encode([row.input_string])
                asked.append(row)
            except InputError:
                logger.warning("%.60r: its masks are too far apart for the model; it is left out", row.input_string)
        yield _answers(predictor, asked, encoded, top_k) if asked else []


def true_words(predictor: FillMask, title: str, masks: int) -> list[int | None]:
    """The word piece that stood at each mask; None where it was not one piece.

    One word stands at every mask; several stand at one mask each, as word pieces or as words.
    """
    word_pieces = predictor.word_pieces
    special = {word_pieces.unk_token_id, word_pieces.mask_token_id, word_pieces.cls_token_id, word_pieces.sep_token_id}
    pieces, words = word_pieces.encode([title])[0], title.split()
    if len(pieces) == 1:
        found = pieces * masks
    elif len(pieces) == masks:
        found = pieces
    elif len(words) == masks:
        found = [ids[0] if len(ids) == 1 else word_pieces.unk_token_id for ids in word_pieces.encode(words)]
    else:
        found = [word_pieces.unk_token_id] * masks
    return [None if index in special else index for index in found]


def cloze_metrics(answers: Sequence[RowAnswer], seed: int) -> dict[str, float]:
    """exact_match and top_k_accuracy of rows, all masks right; mlm_loss in nats a mask whose word is one piece."""
    ranks = [answer.rank for answer in answers]
    ones = np.ones(len(ranks))
    exact, among = (np.array(hits, float) for hits in ([r == 1 for r in ranks], [r is not None for r in ranks]))
    metrics = with_interval("exact_match", ratio_of_sums, exact, ones, seed=seed)
    metrics |= with_interval("top_k_accuracy", ratio_of_sums, among, ones, seed=seed)
    losses = [[mask.loss for mask in answer.masks if mask.loss is not None] for answer in answers]
    if any(losses):
        sums, counts = (np.array(column, float) for column in ([sum(own) for own in losses], [len(o) for o in losses]))
        metrics |= with_interval("mlm_loss", ratio_of_sums, sums, counts, seed=seed)
    return metrics


def _answers(
    predictor: FillMask, rows: Sequence[ClozeRow], encoded: Sequence[list[int]], top_k: int
) -> list[RowAnswer]:
    mask_token_id = predictor.word_pieces.mask_token_id
    found: list[RowAnswer | None] = [None] * len(rows)
    for indices in batches_by_length([len(ids) for ids in encoded], predictor.runner.tokens_per_batch):
        logits = predictor.runner.logits([encoded[index] for index in indices], mask_token_id)
        ids, scores = likeliest(logits, min(top_k, logits.shape[1]))
        start = 0
        for index in indices:
            count = encoded[index].count(mask_token_id)
            own = slice(start, start := start + count)
            truth = true_words(predictor, rows[index].title, count)
            masks = [_mask(predictor, *parts) for parts in zip(ids[own], scores[own], logits[own], truth, strict=True)]
            filled = _filled(rows[index].input_string, predictor.word_pieces.mask_token, masks)
            found[index] = RowAnswer(rows[index], masks, filled)
    return [answer for answer in found if answer is not None]


def _mask(
    predictor: FillMask, ids: np.ndarray, scores: np.ndarray, logits: np.ndarray, truth: int | None
) -> MaskAnswer:
    candidates = [
        Candidate(predictor.word_pieces.word(index), score)
        for index, score in zip(ids.tolist(), scores.tolist(), strict=True)
    ]
    if truth is None:
        return MaskAnswer(candidates, None, None)
    places = np.flatnonzero(ids == truth)
    highest = float(logits.max())
    loss = highest + float(np.log(np.exp(logits - highest).sum())) - float(logits[truth])
    return MaskAnswer(candidates, int(places[0]) + 1 if len(places) else None, loss)


def _filled(text: str, mask_token: str, masks: Sequence[MaskAnswer]) -> str:
    """The text with the likeliest words in place of its masks; the mark of a piece that goes on with a word is off."""
    first, *others = text.split(mask_token)
    words = [mask.candidates[0].token.removeprefix("##") for mask in masks]
    return first + "".join(word + rest for word, rest in zip(words, others, strict=True))
