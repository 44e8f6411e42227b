import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_distillation.masking import DRAWS, IGNORE_INDEX, different_tokens, mask_tokens, random_token_ids, special_ids

VOCABULARY_SIZE, MASK, SPECIALS = 300, 4, torch.arange(5)
RANDOM_IDS = torch.arange(5, VOCABULARY_SIZE)


def masked(input_ids: torch.Tensor, seed: int, probability: float = 0.15):
    specials = torch.isin(input_ids, SPECIALS)
    uniform = uniform_numbers(seed, DRAWS, *input_ids.shape)
    return mask_tokens(input_ids, specials, MASK, RANDOM_IDS, uniform, probability)


def uniform_numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_share(count: int, total: int, expected: float) -> None:
    """Within five standard deviations: false alarms are one in a million."""
    deviation = math.sqrt(expected * (1 - expected) / total)
    assert abs(count / total - expected) < 5 * deviation


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("probability", [0.05, 0.15, 0.4])
def test_the_shares_are_15_percent_and_80_10_10_within_statistical_bounds(seed, probability):
    input_ids = torch.randint(5, VOCABULARY_SIZE, (64, 512), generator=torch.Generator().manual_seed(seed))
    output, labels = masked(input_ids, seed, probability)
    chosen = labels != IGNORE_INDEX
    count = int(chosen.sum())
    assert_share(count, input_ids.numel(), probability)
    assert_share(int((output == MASK).sum()), count, 0.8)
    assert_share(int((chosen & (output != MASK) & (output != input_ids)).sum()), count, 0.1)
    assert_share(int((chosen & (output == input_ids)).sum()), count, 0.1)


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, VOCABULARY_SIZE - 1), min_size=1, max_size=60),
    st.integers(0, 2**31),
    st.sampled_from([0.15, 0.5, 1.0]),
)
def test_specials_stay_labels_are_originals_and_nothing_else_changes(tokens, seed, probability):
    input_ids = torch.tensor(tokens)
    output, labels = masked(input_ids, seed, probability)
    special, chosen = input_ids < 5, labels != IGNORE_INDEX
    assert not (special & chosen).any()
    assert torch.equal(output[~chosen], input_ids[~chosen])
    assert torch.equal(labels[chosen], input_ids[chosen])
    replaced = chosen & (output != MASK) & (output != input_ids)
    assert (output[replaced] >= 5).all(), "a random token is never special"


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40), st.sets(st.integers(0, 30), min_size=2), st.integers(0, 99)
)
def test_the_random_token_differs_from_the_original_and_is_a_candidate(tokens, candidates, seed):
    input_ids, random_ids = torch.tensor(tokens), torch.tensor(sorted(candidates))
    others = different_tokens(input_ids, random_ids, uniform_numbers(seed, len(tokens)))
    assert (others != input_ids).all()
    assert torch.isin(others, random_ids).all()


def test_every_other_token_is_equally_likely():
    others = different_tokens(torch.full((60_000,), 7), torch.tensor([5, 6, 7, 8]), uniform_numbers(0, 60_000))
    for token in (5, 6, 8):
        assert_share(int((others == token).sum()), 60_000, 1 / 3)


def test_the_same_seed_gives_the_same_masks_and_another_seed_others():
    input_ids = torch.arange(5, 205)
    assert torch.equal(masked(input_ids, 1)[0], masked(input_ids, 1)[0])
    assert not torch.equal(masked(input_ids, 1)[0], masked(input_ids, 2)[0])


def test_a_tokenizers_specials_and_unused_pieces_are_no_candidates(tokenizer):
    candidates = set(random_token_ids(tokenizer).tolist())
    assert not candidates & set(special_ids(tokenizer).tolist())
    assert tokenizer.convert_tokens_to_ids("[unused0]") not in candidates
    assert tokenizer.convert_tokens_to_ids("river") in candidates
