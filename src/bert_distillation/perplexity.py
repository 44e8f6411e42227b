"""How likely a causal language model finds texts: the perplexity of sentences whose masks a model has filled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bert_distillation import hub
from bert_distillation.bootstrap import with_interval
from bert_distillation.errors import InputError
from bert_distillation.text_lines import too_many_words

MEAN, MEDIAN = "mean_perplexity", "median_perplexity"
PLAIN = "the cat sleeps"  # which any tokenizer makes something of
LONGEST = 1024  # tokens of a text that are looked at, if the model does not say how many it takes


class CausalModel:
    """A causal language model with its tokenizer."""

    def __init__(
        self, folder: Path | None, name: str, batch_size: int, add_start_token: bool = True, device: str = "cpu"
    ):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.device = torch.device(device)
        self.model = hub.load_model(AutoModelForCausalLM, folder, name, of="causal_model").eval().to(self.device)
        self.tokenizer: Any = hub.load_with(AutoTokenizer, folder, name, of="causal_model")
        self.longest = getattr(self.model.config, "max_position_embeddings", LONGEST)
        place = str(folder or name)
        last = max(self.tokenizer.get_vocab().values())
        if last >= self.model.config.vocab_size or not self.tokenizer(PLAIN)["input_ids"]:
            what = too_many_words(len(self.tokenizer), last, self.model.config.vocab_size)
            raise InputError(
                f"causal_model: the tokenizer of {place} has {what}; give a model with its own tokenizer files."
            )
        self._check_answers(place)
        self.batch_size, self.start = batch_size, self.tokenizer.bos_token_id if add_start_token else None

    @torch.inference_mode()
    def _check_answers(self, place: str) -> None:
        """Refuse answers that are no numbers, and those that change with what comes later."""
        first, second = (
            self.model(input_ids=torch.tensor([[0, last]], device=self.device)).logits[0, 0] for last in (0, 1)
        )
        if (torch.stack([first, second]) == torch.inf).any() or torch.stack([first, second]).isnan().any():
            raise InputError(
                f"causal_model: the logits of {place} are not finite numbers; give a model whose training succeeded."
            )
        if not torch.allclose(first, second, atol=1e-4):
            raise InputError(f"causal_model: {place} sees the words that it predicts; give a causal language model.")

    @torch.inference_mode()
    def perplexities(self, texts: Sequence[str]) -> np.ndarray:
        """(N,) exp of the mean loss a token of each text, shortest first.

        A text of a single token cannot be judged without a start token before it, and is left out.
        """
        rows = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        if self.start is not None:
            rows = [[self.start, *row] for row in rows]
        rows = sorted((row[: self.longest] for row in rows if len(row) > 1), key=len)
        batches = [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        return np.concatenate([self._batch(batch) for batch in batches]) if batches else np.empty(0)

    def _batch(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        width = max(len(row) for row in rows)
        ids = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in rows], device=self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        real = torch.arange(width, device=self.device) < lengths[:, None]
        logits = self.model(input_ids=ids, attention_mask=real.long()).logits[:, :-1].float()
        losses = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        counted = real[:, 1:]
        # In single precision the perplexity of a loss above 88 nats has no number.
        return torch.exp((losses.where(counted, 0).sum(1) / counted.sum(1)).double()).cpu().numpy()


def perplexity_metrics(model: CausalModel, texts: Sequence[str], seed: int) -> tuple[dict[str, float], str]:
    """Mean and median perplexity of the texts with their intervals, none where no text can be judged.

    With them, which texts are left out: nothing where all are judged.
    """
    found = model.perplexities(texts)
    kept = found[np.isfinite(found)]
    reasons = {"of a single token": len(texts) - len(found), "whose perplexity is not finite": len(found) - len(kept)}
    parts = [f"{count} {reason}" for reason, count in reasons.items() if count]
    left_out = f"{' and '.join(parts)}, of {len(texts)} filled texts" if parts else ""
    if not len(kept):
        return {}, left_out
    metrics = with_interval(MEAN, lambda values: float(values.mean()), kept, seed=seed)
    return metrics | with_interval(MEDIAN, lambda values: float(np.median(values)), kept, seed=seed), left_out
