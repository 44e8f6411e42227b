"""The predictor: the likeliest words for the [MASK]s of texts.

Only the masks go through the vocabulary layer, and texts of like length share a batch. One predictor serves the
endpoint, the MLflow model and the evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.errors import InputError
from bert_distillation.masked_lm import MaskedLM, last_hidden_states, require_masked_lm, vocabulary_logits

TOKENS_PER_BATCH = 4096  # padding included; bounds the memory of a request


@dataclass(frozen=True)
class Candidate:
    """A word for a mask, with its probability."""

    token: str
    score: float


class FillMask:
    """A masked-LM with its tokenizer, ready to answer."""

    def __init__(self, model: MaskedLM, tokenizer: PreTrainedTokenizerFast):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.max_length: int = model.config.max_position_embeddings
        if len(tokenizer) > model.config.vocab_size:
            raise InputError(
                f"The tokenizer has {len(tokenizer)} words and the model {model.config.vocab_size}; "
                "give the tokenizer that the model was trained with."
            )

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "FillMask":
        """The predictor of a folder in Hugging Face format."""
        model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, folder, "", of="model"), "model")
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, hub.load_tokenizer(folder, "", of="model"))

    def predict(self, texts: list[str], top_k: int = 1) -> list[list[Candidate]]:
        """For each text, which holds one [MASK], its `top_k` candidates, the likeliest first."""
        return [masks[0] for masks in self.predict_masks(texts, top_k)]

    def predict_masks(self, texts: list[str], top_k: int = 1) -> list[list[list[Candidate]]]:
        """For each text and each of its [MASK]s the `top_k` candidates; masks of one text are filled independently."""
        rows = [self._encode(index, text) for index, text in enumerate(texts)]
        answers: list[list[list[Candidate]]] = [[] for _ in texts]
        for indices in batches_by_length([len(row) for row in rows]):
            for index, masks in zip(indices, self._fill([rows[index] for index in indices], top_k), strict=True):
                answers[index] = masks
        return answers

    def _encode(self, index: int, text: str) -> list[int]:
        """Token ids with at least one mask; of too long a text the window round its first mask."""
        text = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text that can be tokenised
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if self.tokenizer.mask_token_id not in ids:
            raise InputError(f"Text {index} has no {self.tokenizer.mask_token}: {text[:80]!r}.")
        first, size = ids.index(self.tokenizer.mask_token_id), self.max_length - 2
        start = max(0, min(first - size // 2, len(ids) - size))
        return [self.tokenizer.cls_token_id, *ids[start : start + size], self.tokenizer.sep_token_id]

    @torch.inference_mode()
    def _fill(self, rows: list[list[int]], top_k: int) -> list[list[list[Candidate]]]:
        """Candidates for the masks of one batch."""
        device = self.model.device
        tensors = [torch.tensor(row) for row in rows]
        pad = self.tokenizer.pad_token_id
        input_ids = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        attention_mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
        hidden_states = last_hidden_states(
            self.model, input_ids.to(device), attention_mask.to(device), torch.zeros_like(input_ids).to(device)
        )
        where = input_ids == self.tokenizer.mask_token_id
        logits = vocabulary_logits(self.model, hidden_states[where.to(device)])
        candidates = iter(self._candidates(logits, top_k))
        return [[next(candidates) for _ in range(count)] for count in where.sum(dim=1).tolist()]

    def _candidates(self, logits: Tensor, top_k: int) -> list[list[Candidate]]:
        """(N, V) logits -> N lists of candidates."""
        scores, ids = logits.float().softmax(dim=-1).topk(min(top_k, logits.shape[-1]))
        words = [self.tokenizer.convert_ids_to_tokens(row) for row in ids.tolist()]
        return [
            [Candidate(word, score) for word, score in zip(row, row_scores, strict=True)]
            for row, row_scores in zip(words, scores.tolist(), strict=True)
        ]


def batches_by_length(lengths: list[int], tokens_per_batch: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Indices in batches of like length, each at most `tokens_per_batch` with its padding, or one alone."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
