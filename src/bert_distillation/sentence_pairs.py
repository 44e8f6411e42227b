"""Sentence pairs as BERT was trained on: two spans A and B, where B follows A in the text in half of the pairs.

A sentence is an array of token ids, a document a list of sentences. In the other half of the pairs B is a span from a
random other document; the sentences that A leaves over go back and begin the document's next pair, so that each
sentence of each document is once part of an A or of a B that follows its A.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

Sentence = np.ndarray  # (length,) token ids, without special tokens
Document = Sequence[Sentence]

# How many pairs may lack their true B before a sentence is cut in two to give one. See `_Balance`.
MOST_OWED = 8


@dataclass(frozen=True)
class Pair:
    """Two spans of whole sentences; together at most `max_tokens` long."""

    first: list[Sentence]
    second: list[Sentence]
    follows: bool  # whether `second` follows `first` in the text


def sentence_pairs(documents: Sequence[Document], max_tokens: int, random: Random) -> Iterator[Pair]:
    """Pairs that use up the documents in order, each filled with whole sentences up to `max_tokens` (2 or more).

    A sentence longer than half of `max_tokens` is cut into parts, so that any two sentences fit. With one document
    every B follows its A; one that is a single token has nothing to follow it, and its B is empty.
    """
    fitting = [cut_long_sentences(document, max_tokens // 2) for document in documents]
    fitting = [document for document in fitting if document]
    balance = _Balance(random)
    for index, document in enumerate(fitting):
        start = 0
        while start < len(document):
            stop = _fill(document, start, max_tokens)
            if len(fitting) == 1 or balance.wants_true_second(document[start:stop]):
                pair, start = _following_pair(document, start, stop, random)
            else:
                other = fitting[_other_index(index, len(fitting), random)]
                pair, start = _random_pair(document, start, stop, other, max_tokens, random)
            yield pair


def cut_long_sentences(document: Document, longest: int) -> list[Sentence]:
    """The document without empty sentences and with those over `longest` tokens cut into parts of equal length."""
    parts: list[Sentence] = []
    for sentence in document:
        if len(sentence) > longest:
            parts.extend(np.array_split(sentence, -(-len(sentence) // longest)))
        elif len(sentence):
            parts.append(sentence)
    return parts


class _Balance:
    """Half of the pairs get their true B, although a document's last sentence has none.

    Such a lone sentence takes a random B and is owed: the next pair that drew a random B takes its true one instead.
    Text of nearly only lone sentences has no such pair to give; past `MOST_OWED` a lone sentence is cut in two.
    """

    def __init__(self, random: Random):
        self.random, self.owed = random, 0

    def wants_true_second(self, span: list[Sentence]) -> bool:
        """Whether the next pair, which can hold `span`, takes the B that follows."""
        drawn = self.random.random() < 0.5
        is_lone = len(span) == 1
        if drawn and is_lone and (self.owed < MOST_OWED or len(span[0]) < 2):
            self.owed += 1
            return False
        if not drawn and not is_lone and self.owed:
            self.owed -= 1
            return True
        return drawn


def _fill(document: Document, start: int, max_tokens: int) -> int:
    """The end of the longest span of whole sentences from `start` that fits."""
    room, stop = max_tokens, start
    while stop < len(document) and len(document[stop]) <= room:
        room -= len(document[stop])
        stop += 1
    return stop


def _following_pair(document: Document, start: int, stop: int, random: Random) -> tuple[Pair, int]:
    """A pair from document[start:stop], cut at a random sentence, and where the next pair begins."""
    if stop == len(document) - 1 and stop - start > 2:
        stop -= 1  # leave two sentences, not one that nothing follows
    if stop - start == 1:
        first, second = np.array_split(document[start], 2)
        return Pair([first], [second] if len(second) else [], follows=True), stop
    middle = random.randrange(start + 1, stop)
    return Pair(list(document[start:middle]), list(document[middle:stop]), follows=True), stop


def _random_pair(
    document: Document, start: int, stop: int, other: Document, max_tokens: int, random: Random
) -> tuple[Pair, int]:
    """A pair of the beginning of document[start:stop] and a span of `other`, and where the next pair begins."""
    middle = random.randrange(start + 1, max(stop, start + 2))
    if middle == len(document) - 1:
        middle = stop  # the document's last sentence would be alone
    other_start = random.randrange(len(other))
    length = sum(len(sentence) for sentence in document[start:middle])
    while middle > start + 1 and length + len(other[other_start]) > max_tokens:
        middle -= 1
        length -= len(document[middle])
    other_stop = _fill(other, other_start, max_tokens - length)
    return Pair(list(document[start:middle]), list(other[other_start:other_stop]), follows=False), middle


def _other_index(index: int, count: int, random: Random) -> int:
    """A random index below `count` that is not `index`."""
    other = random.randrange(count - 1)
    return other + (other >= index)
