"""Rows of several sequences: full, complete, and the same for everyone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_distillation.packing import Packing, pack_lengths

LENGTHS = st.lists(st.integers(1, 32), min_size=1, max_size=200).map(lambda lengths: np.array(lengths, np.uint16))


@settings(max_examples=200)
@given(LENGTHS, st.integers(0, 5), st.integers(0, 3))
def test_every_sequence_is_in_one_row_of_an_epoch_and_no_row_is_too_long_or_empty(lengths, seed, epoch):
    packing = Packing(lengths, 32, seed)
    rows = [packing.row(epoch, place) for place in range(packing.num_rows)]
    assert Counter(index for row in rows for index in row) == Counter(range(len(lengths)))
    assert all(0 < sum(int(lengths[index]) for index in row) <= 32 for row in rows)
    assert packing.fill == pytest.approx(lengths.sum() / (32 * len(rows)))


@settings(max_examples=200)
@given(LENGTHS)
def test_no_two_rows_would_fit_into_one(lengths):
    patterns = pack_lengths(np.bincount(lengths, minlength=33), 32)
    sums = sorted(sum(pattern) for pattern, count in patterns for _ in range(min(count, 2)))
    assert len(sums) < 2 or sums[0] + sums[1] > 32


def test_rows_of_sentences_are_full():
    lengths = np.random.default_rng(0).gamma(4.0, 8.0, 20_000).clip(3, 128).astype(np.uint16)
    assert Packing(lengths, 128, 0).fill > 0.99


def test_epochs_and_seeds_differ_in_what_a_row_holds_and_agree_in_how_many_there_are():
    lengths = np.random.default_rng(0).integers(1, 33, 500).astype(np.uint16)
    first, same, other = Packing(lengths, 32, 0), Packing(lengths, 32, 0), Packing(lengths, 32, 1)
    assert [first.row(0, place) for place in range(9)] == [same.row(0, place) for place in range(9)]
    assert [first.row(0, place) for place in range(9)] != [first.row(1, place) for place in range(9)]
    assert [first.row(0, place) for place in range(9)] != [other.row(0, place) for place in range(9)]
    assert first.num_rows == other.num_rows


def test_ten_million_sequences_are_packed_by_their_counts_alone():
    counts = np.zeros(513, np.int64)
    counts[1:] = 20_000
    patterns = pack_lengths(counts, 512)
    packed = sum(np.bincount(pattern, minlength=513) * count for pattern, count in patterns)
    assert (packed == counts).all()
    assert len(patterns) < 5_000
