import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_distillation.masking import (
    DRAWS,
    IGNORE_INDEX,
    continuation_pieces,
    different_tokens,
    draws_by_word,
    mask_tokens,
    masking_probabilities,
    random_token_ids,
    special_ids,
)
from small_models import small_tokenizer

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


COUNTS = st.lists(st.integers(0, 10**6), min_size=6, max_size=60).filter(lambda counts: sum(counts[5:]) > 0)


@settings(max_examples=200)
@given(COUNTS, st.sampled_from([0.05, 0.15, 0.5, 1.0]), st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.0]))
def test_however_rare_words_are_favoured_the_expected_share_of_the_tokens_is_the_same(counts, share, smoothing):
    counts = torch.tensor(counts)
    probabilities = masking_probabilities(counts, SPECIALS, share, smoothing)
    assert (probabilities[SPECIALS] == 0).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    expected = float((counts * probabilities).sum() / counts[5:].sum())
    assert expected == pytest.approx(share, rel=1e-9)
    free = (torch.arange(len(counts)) >= 5) & (probabilities < 1) & (counts > 0)
    products = probabilities[free] * counts[free].double() ** smoothing
    assert len(products) == 0 or float(products.max()) == pytest.approx(float(products.min()), rel=1e-9)


def test_a_word_a_hundred_times_rarer_is_masked_ten_times_as_often_with_a_smoothing_of_one_half():
    counts = torch.tensor([0] * 5 + [10_000, 100])
    frequent, rare = masking_probabilities(counts, SPECIALS, 0.05, 0.5)[5:].tolist()
    assert frequent == pytest.approx(505 / 11_000), "10 000 p + 100 * 10 p = 0.05 * 10 100"
    assert rare == pytest.approx(10 * frequent)


def test_probabilities_of_each_token_are_those_at_which_it_is_masked():
    probabilities = masking_probabilities(torch.tensor([0] * 5 + [90_000, 10_000]), SPECIALS, 0.15, 0.7)
    input_ids = torch.tensor([5] * 90_000 + [6] * 10_000)
    uniform = uniform_numbers(0, DRAWS, len(input_ids))
    none_special = torch.zeros(len(input_ids), dtype=torch.bool)
    labels = mask_tokens(input_ids, none_special, MASK, RANDOM_IDS, uniform, probabilities[input_ids])[1]
    for token in (5, 6):
        chosen = int((labels == token).sum())
        assert_share(chosen, int((input_ids == token).sum()), float(probabilities[token]))


WORDS = st.lists(st.integers(1, 5), min_size=1, max_size=20)  # pieces of each word


def continuations(words: list[int]) -> torch.Tensor:
    return torch.tensor([piece > 0 for pieces in words for piece in range(pieces)])


@settings(max_examples=200)
@given(WORDS, st.integers(0, 2**31), st.sampled_from([0.15, 0.5, 0.9]))
def test_the_pieces_of_a_word_are_chosen_together_by_the_draw_of_the_first(words, seed, share):
    choice = uniform_numbers(seed, sum(words))
    chosen = draws_by_word(choice, continuations(words)) < share
    starts = [sum(words[:index]) for index in range(len(words))]
    for start, pieces in zip(starts, words, strict=True):
        assert chosen[start : start + pieces].tolist() == [bool(choice[start] < share)] * pieces


@settings(max_examples=50)
@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(0, 2**31))
def test_the_words_of_a_sequence_are_chosen_alike_whatever_stands_beside_it(sequences, seed):
    choices = [uniform_numbers(seed + index, sum(words)) for index, words in enumerate(sequences)]
    alone = [draws_by_word(c, continuations(words)) for c, words in zip(choices, sequences, strict=True)]
    together = draws_by_word(torch.cat(choices), torch.cat([continuations(words) for words in sequences]))
    assert torch.equal(together, torch.cat(alone))


def test_no_tokens_have_no_draws():
    assert draws_by_word(torch.empty(0), torch.empty(0, dtype=torch.bool)).shape == (0,)


def test_rows_are_words_of_their_own():
    choice = uniform_numbers(0, 2, 3)
    draws = draws_by_word(choice, torch.tensor([[False, True, True], [False, False, True]]))
    expected = torch.stack([choice[0, [0, 0, 0]], choice[1, [0, 1, 1]]])
    assert torch.equal(draws, expected)


def test_whole_words_leave_the_share_of_the_tokens_what_it_was():
    words = torch.randint(1, 5, (20_000,), generator=torch.Generator().manual_seed(0)).tolist()
    choice = uniform_numbers(1, sum(words))
    chosen = int((draws_by_word(choice, continuations(words)) < 0.15).sum())
    assert abs(chosen / sum(words) - 0.15) < 5 * math.sqrt(0.15 * 0.85 / len(words))


def test_pieces_that_begin_with_two_signs_go_on_with_a_word(tokenizer):
    table = continuation_pieces(tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert {piece for piece, is_one in zip(pieces, table.tolist(), strict=True) if is_one} == {
        piece for piece in pieces if piece[:2] == "##"
    }
    assert not table[special_ids(tokenizer)].any()


def test_what_goes_on_with_a_word_is_signed_as_the_tokenizer_does_it(tmp_path):
    tokenizer = small_tokenizer(tmp_path)
    tokenizer.backend_tokenizer.model.continuing_subword_prefix = "hou"
    table = continuation_pieces(tokenizer)
    assert [tokenizer.convert_ids_to_tokens(index) for index in table.nonzero().flatten().tolist()] == ["house"]
