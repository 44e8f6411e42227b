"""Masking for the masked-LM objective: 15 % of the tokens; of these 80 % [MASK], 10 % another token, 10 % unchanged."""

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

IGNORE_INDEX = -100  # the label that torch's cross entropy leaves out
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the rest stays as it is
DRAWS = 3  # random numbers a token: is it chosen, what becomes of it, which other token


def special_ids(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(S,) ids that are never masked and never put in place of a token, sorted."""
    return torch.tensor(sorted(tokenizer.all_special_ids))


def random_token_ids(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(R,) ids that may stand in for a token, sorted: every word piece that is not special and not [unusedN]."""
    unused = {index for piece, index in tokenizer.get_vocab().items() if piece.startswith("[unused")}
    excluded = unused | set(tokenizer.all_special_ids)
    return torch.tensor([index for index in range(len(tokenizer)) if index not in excluded])


def mask_tokens(
    input_ids: Tensor,
    special_tokens_mask: Tensor,
    mask_token_id: int,
    random_ids: Tensor,
    uniform: Tensor,
    mlm_probability: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Masked copy of the tokens, and the labels: the original where a token was chosen, IGNORE_INDEX elsewhere.

    input_ids: any shape, int64. special_tokens_mask: the same shape, bool, true where a token must stay.
    random_ids: (R,) sorted ids that may be put in place of a token; the one chosen always differs from the original.
    uniform: (DRAWS, *shape) random numbers in [0, 1), float64; equal numbers give equal masks.
    """
    choice, fate, draw = uniform
    chosen = (choice < mlm_probability) & ~special_tokens_mask
    masked = torch.where(chosen & (fate < MASK_SHARE), mask_token_id, input_ids)
    others = different_tokens(input_ids, random_ids, draw)
    masked = torch.where(chosen & (fate >= 1 - RANDOM_SHARE), others, masked)
    return masked, torch.where(chosen, input_ids, IGNORE_INDEX)


def different_tokens(input_ids: Tensor, random_ids: Tensor, draw: Tensor) -> Tensor:
    """For each token one of `random_ids` that differs from it, all equally likely; draw: uniform in [0, 1)."""
    place = torch.searchsorted(random_ids, input_ids).clamp(max=len(random_ids) - 1)
    is_candidate = random_ids[place] == input_ids
    # Draw among one candidate fewer and step over the original: uniform over the others, without drawing twice.
    index = (draw * (len(random_ids) - is_candidate.long())).long()
    return random_ids[index + (is_candidate & (index >= place)).long()]
