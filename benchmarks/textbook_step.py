"""The distillation step as tutorials write it, and the same on packed tokens: what ours is compared with."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM, DistilBertForMaskedLM

from bert_distillation.batches import MaskedSequences, Row
from bert_distillation.masked_lm import packed_hidden_states, vocabulary_logits
from bert_distillation.masking import IGNORE_INDEX

WEIGHTS = {"ce": 5.0, "mlm": 2.0, "cos": 1.0}
TEMPERATURE = 2.0


def padded(rows: MaskedSequences, places: Sequence[Row]) -> dict[str, Tensor]:
    """A batch as everyone makes it: a sequence a row, padded to the longest of the batch."""
    rows.row_length, fixed = 0, rows.row_length
    batch = rows.__getitems__(places)
    rows.row_length = fixed
    grid, places_of = batch["sequence_ids"], batch["places"]
    words = torch.full_like(batch["input_ids"], IGNORE_INDEX)
    words[: len(batch["labels"])] = batch["labels"]
    made = {"attention_mask": grid}
    for name, values in {"input_ids": batch["input_ids"], "token_type_ids": batch["token_type_ids"]}.items():
        made[name] = torch.zeros_like(grid).flatten().index_copy(0, places_of, values).view_as(grid)
    made["labels"] = torch.full_like(grid, IGNORE_INDEX).flatten().index_copy(0, places_of, words).view_as(grid)
    return made


def textbook_loss(student: DistilBertForMaskedLM, teacher: BertForMaskedLM, batch: dict[str, Tensor]) -> Tensor:
    """The weighted sum of the three losses."""
    return sum(WEIGHTS[name] * loss for name, loss in textbook_losses(student, teacher, batch).items())


def at(states: Tensor, chosen: Tensor) -> Tensor:
    """(B, T, D) -> (N, D) the states of chosen tokens, (B, T), by an index."""
    return states[chosen]


def selected(states: Tensor, chosen: Tensor) -> Tensor:
    """The same by `masked_select`, as the original code has it; it takes longer."""
    return states.masked_select(chosen[..., None]).view(-1, states.shape[-1])


def textbook_losses(
    student: DistilBertForMaskedLM,
    teacher: BertForMaskedLM,
    batch: dict[str, Tensor],
    restrict: bool = False,
    choose: Callable[[Tensor, Tensor], Tensor] = at,
) -> dict[str, Tensor]:
    """The three published means, of all logits and with torch's loss modules. choose: `at` or `selected`."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = teacher(**inputs, token_type_ids=batch["token_type_ids"], output_hidden_states=True)
    found = student(**inputs, output_hidden_states=True)
    real = batch["attention_mask"].bool()
    on = batch["labels"] != IGNORE_INDEX if restrict else real
    log_probs = nn.functional.log_softmax(choose(found.logits, on) / TEMPERATURE, dim=-1)
    soft = nn.functional.softmax(choose(expected.logits, on) / TEMPERATURE, dim=-1)
    states = choose(found.hidden_states[-1], real), choose(expected.hidden_states[-1], real)
    return {
        "ce": nn.KLDivLoss(reduction="batchmean")(log_probs, soft) * TEMPERATURE**2,
        "mlm": nn.CrossEntropyLoss()(found.logits.flatten(0, 1), batch["labels"].flatten()),
        "cos": nn.CosineEmbeddingLoss()(*states, states[0].new_ones(len(states[0]))),
    }


def packed_loss(student: DistilBertForMaskedLM, teacher: BertForMaskedLM, batch: dict[str, Tensor]) -> Tensor:
    """Real tokens only, but all logits at once."""
    with torch.no_grad():
        states = packed_hidden_states(teacher, batch)
        soft = nn.functional.softmax(vocabulary_logits(teacher, states) / TEMPERATURE, dim=-1)
    hidden_states = packed_hidden_states(student, batch)
    logits = vocabulary_logits(student, hidden_states)
    log_probs = nn.functional.log_softmax(logits / TEMPERATURE, dim=-1)
    ce = nn.KLDivLoss(reduction="batchmean")(log_probs, soft) * TEMPERATURE**2
    mlm = nn.functional.cross_entropy(logits[: len(batch["labels"])], batch["labels"])
    cos = 1 - nn.functional.cosine_similarity(hidden_states.float(), states.float(), dim=-1).mean()
    return WEIGHTS["ce"] * ce + WEIGHTS["mlm"] * mlm + WEIGHTS["cos"] * cos
