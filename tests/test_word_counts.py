from collections import Counter

import datasets
import pytest

from bert_distillation import word_counts
from bert_distillation.sequences import open_sequences
from bert_distillation.word_counts import count_words
from small_models import small_sequences

TEXTS = [("the cat sleeps .", "it was old ."), ("the dog runs to the river .", "a bird sings ."), ("paris", "rome")]


@pytest.mark.parametrize("rows", [1, 2, 8192])
def test_every_token_of_every_sequence_is_counted_once(rows, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(word_counts, "ROWS", rows)
    sequences = open_sequences(small_sequences(tmp_path / "sequences", tokenizer, TEXTS))
    expected = Counter(token for row in sequences for token in row["input_ids"])
    counts = count_words(sequences, len(tokenizer))
    assert counts.tolist() == [expected[index] for index in range(len(tokenizer))]


def test_a_part_of_the_sequences_and_several_shards_are_counted_as_they_are():
    shards = [datasets.Dataset.from_dict({"input_ids": [[1, 2, 2], [3]]}) for _ in range(2)]
    sequences = datasets.concatenate_datasets(shards).select([0, 3])
    assert count_words(sequences, 6).tolist() == [0, 1, 2, 1, 0, 0]
