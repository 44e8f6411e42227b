"""Sentence pairs: each token of a document is told apart by its id, so that a pair says where it comes from."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_distillation.sentence_pairs import Pair, cut_long_sentences, sentence_pairs

lengths_of_documents = st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=8)


def numbered(lengths: list[list[int]]) -> list[list[np.ndarray]]:
    """Documents with sentences of these lengths, whose tokens are numbered through."""
    tokens = iter(range(sum(map(sum, lengths))))
    return [[np.array([next(tokens) for _ in range(n)], dtype=np.int64) for n in document] for document in lengths]


def joined(sentences: list[np.ndarray]) -> list[int]:
    return [int(token) for sentence in sentences for token in sentence]


def used_text(pairs: list[Pair]) -> list[int]:
    """The tokens of every A and of every B that follows its A, in order."""
    return [token for p in pairs for token in joined(p.first) + (joined(p.second) if p.follows else [])]


def share_of_random(lengths: list[list[int]], max_tokens: int = 40) -> tuple[float, int]:
    pairs = list(sentence_pairs(numbered(lengths), max_tokens, Random(1)))
    return sum(not p.follows for p in pairs) / len(pairs), len(pairs)


@given(lengths_of_documents, st.integers(2, 40), st.integers(0, 1000))
def test_every_token_of_the_text_is_used_once_and_in_order(lengths, max_tokens, seed):
    documents = numbered(lengths)
    pairs = list(sentence_pairs(documents, max_tokens, Random(seed)))
    assert used_text(pairs) == list(range(sum(map(sum, lengths))))


@given(lengths_of_documents, st.integers(2, 40), st.integers(0, 1000))
def test_a_pair_fits_and_both_spans_have_tokens(lengths, max_tokens, seed):
    for pair in sentence_pairs(numbered(lengths), max_tokens, Random(seed)):
        assert len(joined(pair.first)) + len(joined(pair.second)) <= max_tokens
        assert pair.first
        assert joined(pair.second) or len(joined(pair.first)) == 1  # a single token may have nothing beside it


@given(lengths_of_documents, st.integers(2, 40), st.integers(0, 1000))
def test_a_span_is_running_text_and_a_random_one_is_of_another_document(lengths, max_tokens, seed):
    documents = numbered(lengths)
    owner = {token: index for index, document in enumerate(documents) for token in joined(document)}
    for pair in sentence_pairs(documents, max_tokens, Random(seed)):
        first, second = joined(pair.first), joined(pair.second)
        for span in (first, second):
            assert span == list(range(span[0], span[0] + len(span))) if span else True
            assert len({owner[token] for token in span}) <= 1
        if pair.follows and second:
            assert second[0] == first[-1] + 1
            assert owner[second[0]] == owner[first[0]]
        if not pair.follows:
            assert owner[second[0]] != owner[first[0]]


@given(lengths_of_documents, st.integers(20, 40), st.integers(0, 1000))
def test_a_sentence_of_at_most_half_the_room_stays_whole_where_it_has_company(lengths, max_tokens, seed):
    documents = [document for document in lengths if sum(document) and len([n for n in document if n]) > 1]
    numbers = numbered(documents)
    if len(documents) < 2:
        return
    spans = [joined(span) for p in sentence_pairs(numbers, max_tokens, Random(seed)) for span in (p.first, p.second)]
    together = {(span[i], span[i + 1]) for span in spans for i in range(len(span) - 1)}
    for sentence in (sentence for document in numbers for sentence in document):
        if len(sentence) <= max_tokens // 2:
            assert all((int(a), int(a) + 1) in together for a in sentence[:-1])


@pytest.mark.parametrize(
    "sentences",
    [(1, 1), (2, 2), (3, 3), (1, 12), (40, 60)],
    ids=["one sentence a document", "two", "three", "one to twelve", "forty and more"],
)
def test_half_of_the_pairs_follow_whatever_the_length_of_the_documents(sentences):
    random = Random(0)
    count = 6000 // sentences[1]
    lengths = [[random.randint(3, 25) for _ in range(random.randint(*sentences))] for _ in range(count)]
    share, count = share_of_random(lengths)
    assert abs(share - 0.5) < 4 * 0.5 / count**0.5


def test_few_one_sentence_documents_are_all_paired_with_another_and_not_cut():
    pairs = list(sentence_pairs(numbered([[5], [6], [7]]), 40, Random(0)))
    assert [len(p.first) for p in pairs] == [1, 1, 1]
    assert used_text(pairs) == list(range(18))


def test_the_sentences_a_leaves_over_begin_the_next_pair():
    pairs = list(sentence_pairs(numbered([[4] * 50, [4] * 50]), 20, Random(3)))
    random_pairs = [i for i, p in enumerate(pairs[:-1]) if not p.follows]
    assert random_pairs
    for i in random_pairs:
        after = joined(pairs[i].first)[-1] + 1
        assert joined(pairs[i + 1].first)[0] == after


def test_pairs_are_filled_as_far_as_whole_sentences_go():
    pairs = list(sentence_pairs(numbered([[5] * 100]), 23, Random(0)))
    assert {len(joined(p.first)) + len(joined(p.second)) for p in pairs} == {20}


def test_with_one_document_every_second_follows():
    assert all(p.follows for p in sentence_pairs(numbered([[5] * 40]), 20, Random(0)))
    (pair,) = sentence_pairs(numbered([[7]]), 20, Random(0))
    assert (joined(pair.first), joined(pair.second)) == ([0, 1, 2, 3], [4, 5, 6])


def test_a_single_token_stands_alone():
    (pair,) = sentence_pairs(numbered([[1]]), 20, Random(0))
    assert (joined(pair.first), joined(pair.second)) == ([0], [])


def test_no_document_gives_no_pair():
    assert list(sentence_pairs([], 20, Random(0))) == []
    assert list(sentence_pairs(numbered([[0, 0], []]), 20, Random(0))) == []


def test_a_long_sentence_is_cut_into_equal_parts_and_an_empty_one_dropped():
    parts = cut_long_sentences(numbered([[25, 0, 10]])[0], 10)
    assert [len(part) for part in parts] == [9, 8, 8, 10]
    assert joined(parts) == list(range(35))


def test_the_same_seed_gives_the_same_pairs_and_another_one_others():
    def spans(seed):
        pairs = sentence_pairs(numbered([[4] * 30, [5] * 30, [6] * 30]), 25, Random(seed))
        return [(joined(p.first), joined(p.second)) for p in pairs]

    assert spans(5) == spans(5)
    assert spans(5) != spans(6)
