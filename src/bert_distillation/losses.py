"""The three losses of DistilBERT and the masked-LM loss of pretraining, each *summed* over its tokens.

Sums, because a step is made of several batches on several processes: scaled by the step's total they give the same
gradient however the step is cut. The published losses are these sums divided by the number of tokens.
Sizes: B rows of T tokens, N real tokens of which M are masked, V words, D hidden units.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import BertForMaskedLM

from bert_distillation import row_kernels
from bert_distillation.masked_lm import MaskedLM, packed_hidden_states, shared_weights, vocabulary_projection
from bert_distillation.vocabulary import vocabulary_losses

Losses = tuple[Tensor, dict[str, Tensor]]  # the scaled sum with gradients, and the sum of each loss without


class MaskedLanguageModeling(nn.Module):
    """The objective of pretraining, `mlm`."""

    model: MaskedLM

    def __init__(self, model: MaskedLM):
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], scales: dict[str, Tensor]) -> Losses:
        """Only masked tokens go through the vocabulary layer: the others have no loss.

        batch: as `MaskedSequences` makes it. scales: what the sum of each loss is multiplied with.
        """
        labels = batch["labels"]
        words, weight = shared_weights(self.model)
        hidden_states = packed_hidden_states(self.model, batch, words)[: len(labels)]
        projection = vocabulary_projection(self.model, hidden_states, weight)
        return vocabulary_losses(projection, labels, {"mlm": scales["mlm"]}, None, 1.0)


class Distillation(nn.Module):
    """The objective of distillation: `ce`, soft targets; `mlm`; `cos`, hidden states."""

    model: MaskedLM

    def __init__(
        self,
        student: MaskedLM,
        teacher: BertForMaskedLM,
        temperature: float,
        restrict_ce_to_mask: bool,
        projection: nn.Module | None = None,
    ):
        """`projection` takes the hidden states of a narrower student to the teacher's width; trained with it."""
        super().__init__()
        self.model = student
        self.projection = projection or nn.Identity()
        self._teacher = (teacher,)  # in a tuple, so that the teacher is neither trained, wrapped nor saved
        self.temperature = temperature
        self.restrict_ce_to_mask = restrict_ce_to_mask

    def forward(self, batch: dict[str, Tensor], scales: dict[str, Tensor]) -> Losses:
        """Soft targets and hidden states on all real tokens, or soft targets on the masked ones if restricted.

        batch: as `MaskedSequences` makes it. scales: what the sum of each loss is multiplied with.
        """
        (teacher,) = self._teacher
        labels = batch["labels"]
        words, weight = shared_weights(self.model)
        hidden_states = packed_hidden_states(self.model, batch, words)
        with torch.no_grad(), torch.autocast(labels.device.type, enabled=False):
            teacher_hidden_states = packed_hidden_states(teacher, batch)
            with_soft_targets = len(labels) if self.restrict_ce_to_mask else len(hidden_states)
            soft = vocabulary_projection(teacher, teacher_hidden_states[:with_soft_targets])
        projection = vocabulary_projection(self.model, hidden_states[:with_soft_targets], weight)
        of_words = {name: scales[name] for name in ("ce", "mlm")}
        total, sums = vocabulary_losses(projection, labels, of_words, soft, self.temperature)
        cos = hidden_state_loss(self.projection(hidden_states), teacher_hidden_states)
        return total + scales["cos"] * cos, sums | {"cos": cos.detach()}


Objective = MaskedLanguageModeling | Distillation


def hidden_state_loss(student_hidden_states: Tensor, teacher_hidden_states: Tensor) -> Tensor:
    """1 - cosine similarity of the last hidden states, summed over tokens; the student has gradients. Both: (N, D)."""
    loss: Tensor = _HiddenStateLoss.apply(student_hidden_states, teacher_hidden_states)
    return loss


class _HiddenStateLoss(torch.autograd.Function):
    """Its gradient is made in the forward pass: torch's own takes a dozen passes over copies in single precision."""

    @staticmethod
    def forward(ctx: Any, student_hidden_states: Tensor, teacher_hidden_states: Tensor) -> Tensor:
        losses, gradient = row_kernels.cosine_distances(student_hidden_states, teacher_hidden_states)
        ctx.save_for_backward(gradient)
        return losses.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (made,) = ctx.saved_tensors
        return made * gradients[0], None


def token_counts(batch: dict[str, Tensor], restrict_ce_to_mask: bool = False) -> dict[str, int]:
    """What each loss is a sum over, the divisors of the published means; and the real tokens, for the rate."""
    masked, real = len(batch["labels"]), len(batch["input_ids"])
    return {"ce": masked if restrict_ce_to_mask else real, "mlm": masked, "cos": real, "tokens": real}
