"""Packing: several sequences in one row of fixed length, so that hardly any of a row is padding.

Which lengths share a row is decided once for a corpus, from how many sequences it has of each length. An epoch only
decides which sequence of that length it is, and in what order the rows come. So all epochs have equally many rows, and
a hundred million sequences are packed as soon as their lengths are counted.
"""

import numpy as np

Pattern = tuple[int, ...]  # the lengths in a row


def pack_lengths(counts: np.ndarray, row_length: int) -> list[tuple[Pattern, int]]:
    """Best fit, longest first: what rows there are, and how many of each.

    counts: (row_length + 1,) how many sequences there are of each length; none of length 0.
    """
    rows_with_space: list[list[tuple[Pattern, int]]] = [[] for _ in range(row_length + 1)]
    for length in range(row_length, 0, -1):
        left = int(counts[length])
        for space in range(length, row_length):
            while left and rows_with_space[space]:
                left -= _fill(rows_with_space, space, rows_with_space[space].pop(), length, left)
        while left:
            new_rows = left // min(row_length // length, left)
            left -= _fill(rows_with_space, row_length, ((), new_rows), length, left)
    return [row for rows in rows_with_space for row in rows]


def _fill(
    rows_with_space: list[list[tuple[Pattern, int]]], space: int, rows: tuple[Pattern, int], length: int, left: int
) -> int:
    """Put sequences of one length into equal rows, as many into each as fit; returns how many found a place."""
    (pattern, count), each = rows, min(space // length, left)
    filled = min(count, left // each)
    rows_with_space[space - each * length].append((pattern + (length,) * each, filled))
    if count > filled:
        rows_with_space[space].append((pattern, count - filled))
    return filled * each


class Packing:
    """The rows of a corpus: a pure function of the sequences' lengths, the seed and the epoch."""

    def __init__(self, lengths: np.ndarray, row_length: int, seed: int):
        """`lengths`: (S,) tokens of each sequence, from 1 to `row_length`."""
        self.row_length, self.seed = row_length, seed
        patterns = pack_lengths(np.bincount(lengths, minlength=row_length + 1), row_length)
        self.num_rows = sum(count for _, count in patterns)
        self.num_sequences, self.num_tokens = len(lengths), int(lengths.sum(dtype=np.int64))
        sizes = np.repeat([len(pattern) for pattern, _ in patterns], [count for _, count in patterns])
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        slots = np.concatenate([np.tile(np.array(pattern, np.uint16), count) for pattern, count in patterns])
        self._lengths, self._slots_by_length = lengths, _stable_order(slots)
        self._epoch, self._sequences, self._order = -1, np.empty(0, np.int32), np.empty(0, np.int32)

    @property
    def fill(self) -> float:
        """The share of the rows that is no padding."""
        return self.num_tokens / (self.num_rows * self.row_length)

    def row(self, epoch: int, position: int) -> tuple[int, ...]:
        """The sequences in a row; rows are counted in the epoch's order."""
        if epoch != self._epoch:
            self._shuffle(epoch)
        row = self._order[position]
        return tuple(self._sequences[self._starts[row] : self._starts[row + 1]].tolist())

    def _shuffle(self, epoch: int) -> None:
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(self.num_sequences).astype(np.int32)
        self._sequences = np.empty_like(order)
        self._sequences[self._slots_by_length] = order[_stable_order(self._lengths[order])]
        self._order = generator.permutation(self.num_rows).astype(np.int32)
        self._epoch = epoch


def _stable_order(lengths: np.ndarray) -> np.ndarray:
    return np.argsort(lengths, kind="stable")
