"""The three losses of DistilBERT and the masked-LM loss of pretraining, each *summed* over its tokens.

Sums, because a step is made of several batches on several processes: divided by the step's total they give the same
gradient however the step is cut. The published losses are these sums divided by the number of tokens.
Sizes: N tokens, V words, D hidden units.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertForMaskedLM

from bert_distillation.masked_lm import MaskedLM, last_hidden_states, vocabulary_logits
from bert_distillation.masking import IGNORE_INDEX


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) between the softened distributions, summed over tokens.

    student_logits, teacher_logits: (N, V).
    """
    student_log_probs = F.log_softmax(student_logits.float() / temperature, dim=-1)
    soft_targets = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    # Softening divides the gradient by T^2; multiplying by T^2 keeps the weights comparable when T changes.
    return F.kl_div(student_log_probs, soft_targets, reduction="sum", log_target=True) * temperature**2


def masked_lm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy with the true words, summed over tokens. logits: (N, V); labels: (N,), IGNORE_INDEX left out."""
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum")


def hidden_state_loss(student_hidden_states: Tensor, teacher_hidden_states: Tensor) -> Tensor:
    """1 - cosine similarity of the last hidden states, summed over tokens. Both: (N, D)."""
    similarity = F.cosine_similarity(student_hidden_states.float(), teacher_hidden_states.float(), dim=-1)
    return (1 - similarity).sum()


class MaskedLanguageModeling(nn.Module):
    """The objective of pretraining: batch -> {"mlm": sum}."""

    model: MaskedLM

    def __init__(self, model: MaskedLM):
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Only masked tokens go through the vocabulary layer: the others have no loss."""
        hidden_states = last_hidden_states(self.model, *_inputs(batch))
        masked = batch["labels"] != IGNORE_INDEX
        logits = vocabulary_logits(self.model, hidden_states[masked])
        return {"mlm": masked_lm_loss(logits, batch["labels"][masked])}


class Distillation(nn.Module):
    """The objective of distillation: batch -> {"ce": sum, "mlm": sum, "cos": sum}."""

    model: MaskedLM

    def __init__(self, student: MaskedLM, teacher: BertForMaskedLM, temperature: float, restrict_ce_to_mask: bool):
        super().__init__()
        self.model = student
        self._teacher = (teacher,)  # in a tuple, so that the teacher is neither trained, wrapped nor saved
        self.temperature = temperature
        self.restrict_ce_to_mask = restrict_ce_to_mask

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Soft targets and hidden states on all real tokens, or soft targets on the masked ones if restricted."""
        real, labels = batch["loss_mask"], batch["labels"]
        hidden_states = last_hidden_states(self.model, *_inputs(batch))[real]
        teacher_hidden_states, teacher_logits = self._teacher_outputs(batch)
        logits = vocabulary_logits(self.model, hidden_states)
        on = labels[real] != IGNORE_INDEX if self.restrict_ce_to_mask else slice(None)
        return {
            "ce": soft_target_loss(logits[on], teacher_logits[on], self.temperature),
            "mlm": masked_lm_loss(logits, labels[real]),
            "cos": hidden_state_loss(hidden_states, teacher_hidden_states),
        }

    @torch.no_grad()
    def _teacher_outputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        (teacher,) = self._teacher
        hidden_states = last_hidden_states(teacher, *_inputs(batch))[batch["loss_mask"]]
        return hidden_states, vocabulary_logits(teacher, hidden_states)


Objective = MaskedLanguageModeling | Distillation


def token_counts(batch: dict[str, Tensor], restrict_ce_to_mask: bool = False) -> dict[str, int]:
    """What each loss is a sum over, the divisors of the published means; and the real tokens, for the rate."""
    masked = int((batch["labels"] != IGNORE_INDEX).sum())
    real = int(batch["loss_mask"].sum())
    return {"ce": masked if restrict_ce_to_mask else real, "mlm": masked, "cos": real, "tokens": real}


def _inputs(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]
