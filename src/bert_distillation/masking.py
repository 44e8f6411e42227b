"""Masking for the masked-LM objective: 15 % of the tokens; of these 80 % [MASK], 10 % another token, 10 % unchanged.

Tokens are chosen alike and one by one, or rare words more often than frequent ones (`masking_probabilities`), or all
pieces of a word together (`draws_by_word`). Sizes: V words in the vocabulary.
"""

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

IGNORE_INDEX = -100  # the label that torch's cross entropy leaves out
MLM_PROBABILITY = 0.15  # share of the tokens that BERT chooses
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
    mlm_probability: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """Masked copy of the tokens, and the labels: the original where a token was chosen, IGNORE_INDEX elsewhere.

    input_ids: any shape, int64. special_tokens_mask: the same shape, bool, true where a token must stay.
    random_ids: (R,) sorted ids that may be put in place of a token; the one chosen always differs from the original.
    uniform: (DRAWS, *shape) random numbers in [0, 1), float64; equal numbers give equal masks.
    mlm_probability: of all tokens alike, or of each token: float64, the same shape as the tokens.
    """
    choice, fate, draw = uniform
    chosen = (choice < mlm_probability) & ~special_tokens_mask
    masked = torch.where(chosen & (fate < MASK_SHARE), mask_token_id, input_ids)
    others = different_tokens(input_ids, random_ids, draw)
    masked = torch.where(chosen & (fate >= 1 - RANDOM_SHARE), others, masked)
    return masked, torch.where(chosen, input_ids, IGNORE_INDEX)


def continuation_pieces(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(V,) bool, true for the pieces that go on with a word, such as ##ing."""
    sign = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or "##"
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return torch.tensor([piece.startswith(sign) for piece in pieces])


def draws_by_word(choice: Tensor, is_continuation: Tensor) -> Tensor:
    """The draws with which all pieces of a word are chosen together: each has the draw of the word's first piece.

    choice: (..., T) random numbers, the first of `uniform`. is_continuation: (..., T) bool, `continuation_pieces` of
    the tokens. [CLS] and [SEP] are no continuation, so no word reaches from one sequence into the next. Each piece on
    its own still has the same probability, and so the expected share of tokens stays what it was.
    """
    position = torch.arange(choice.shape[-1]).expand(choice.shape)
    first_piece = position.masked_fill(is_continuation, 0).cummax(dim=-1).values
    return choice.gather(-1, first_piece)


def masking_probabilities(counts: Tensor, specials: Tensor, mlm_probability: float, mlm_smoothing: float) -> Tensor:
    """(V,) float64: how likely each word is masked, in proportion to its count ** -mlm_smoothing, at most 1.

    Scaled so that of all tokens which may be masked the expected share is `mlm_probability`. A word that never occurs
    is treated as one that occurs once.
    counts: (V,) how often each word occurs. specials: (S,) ids that are never masked.
    """
    counts = counts.double().index_fill(0, specials, 0)
    weights = counts.clamp(min=1) ** -mlm_smoothing
    order = weights.argsort(descending=True)
    scales = _scales(counts[order], weights[order], mlm_probability * counts.sum())
    # The more of the likeliest words are at 1, the larger the scale for the others; right is the first that fits.
    fits = scales * weights[order] <= 1
    scale = scales[fits.int().argmax()] if fits.any() else torch.inf
    return (scale * weights).clamp(max=1).index_fill(0, specials, 0)


def _scales(counts: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """(V,) the scale that gives `total` masked tokens if the first k words are always masked, for k from 0 to V - 1."""
    always_masked = counts.cumsum(0) - counts
    remaining = (counts * weights).flip(0).cumsum(0).flip(0)
    # Words at the end that never occur leave nothing to scale; any scale is right for them.
    return (total - always_masked) / remaining.clamp(min=torch.finfo(torch.float64).tiny)


def different_tokens(input_ids: Tensor, random_ids: Tensor, draw: Tensor) -> Tensor:
    """For each token one of `random_ids` that differs from it, all equally likely; draw: uniform in [0, 1)."""
    place = torch.searchsorted(random_ids, input_ids).clamp(max=len(random_ids) - 1)
    is_candidate = random_ids[place] == input_ids
    # Draw among one candidate fewer and step over the original: uniform over the others, without drawing twice.
    index = (draw * (len(random_ids) - is_candidate.long())).long()
    return random_ids[index + (is_candidate & (index >= place)).long()]
