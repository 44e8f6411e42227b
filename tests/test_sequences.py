import json

import pyarrow as pa
import pytest

from bert_distillation import sequences
from bert_distillation.errors import InputError
from bert_distillation.hub import fingerprint
from bert_distillation.sequences import (
    Metadata,
    SequenceWriter,
    open_sequences,
    open_tokenizer,
    read_metadata,
    sequence_schema,
    write_metadata,
)
from small_models import small_tokenizer

ROWS = [[2, *range(10, 10 + n), 3, 7, 8, 3] for n in range(1, 21)]


def batches(rows, vocab_size=100, size=4):
    schema = sequence_schema(vocab_size)
    for i in range(0, len(rows), size):
        part = rows[i : i + size]
        starts = pa.array([len(row) - 3 for row in part], pa.uint16())
        yield pa.record_batch([pa.array(part, schema[0].type), starts], schema=schema)


def write_folder(folder, tokenizer, rows=ROWS, vocab_size=100):
    writer = SequenceWriter(folder, sequence_schema(vocab_size))
    for batch in batches(rows, vocab_size):
        writer.write(batch)
    writer.close()
    tokenizer.save_pretrained(folder / "tokenizer")
    tokens = sum(map(len, rows))
    counts = {"documents": 3, "sentences": 9, "sequences": len(rows), "corpus_tokens": tokens, "tokens": tokens}
    metadata = Metadata(
        **counts,
        vocab_size=vocab_size,
        max_seq_length=32,
        tokenizer_fingerprint=fingerprint(tokenizer),
        configuration_checksum="abc",
        shards=tuple(writer.shards),
    )
    write_metadata(folder, metadata)
    return metadata


@pytest.fixture
def folder(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(sequences, "BATCHES_PER_SHARD", 2)
    write_folder(tmp_path / "sequences", tokenizer)
    return tmp_path / "sequences"


def test_what_was_written_is_read_in_order_over_shards(folder):
    dataset = open_sequences(folder)
    assert [row["input_ids"] for row in dataset] == ROWS
    assert dataset["second_start"][:] == [len(row) - 3 for row in ROWS]
    assert [path.name for path in sorted(folder.glob("data-*"))] == [
        "data-00000.arrow",
        "data-00001.arrow",
        "data-00002.arrow",
    ]


def test_a_row_is_found_by_its_index(folder):
    assert open_sequences(folder)[13]["input_ids"] == ROWS[13]


def test_the_metadata_are_read_as_they_were_written(tmp_path, tokenizer):
    metadata = write_folder(tmp_path, tokenizer)
    assert read_metadata(tmp_path) == metadata
    assert sum(shard.tokens for shard in metadata.shards) == sum(map(len, ROWS))
    assert sum(shard.sequences for shard in metadata.shards) == len(ROWS)


def test_the_tokenizer_comes_back_with_the_same_fingerprint(folder, tokenizer):
    assert fingerprint(open_tokenizer(folder)) == fingerprint(tokenizer) == read_metadata(folder).tokenizer_fingerprint


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_535, "uint16"), (65_536, "uint32")])
def test_ids_take_two_bytes_where_the_vocabulary_allows(tmp_path, tokenizer, vocab_size, dtype):
    highest = vocab_size - 1
    write_folder(tmp_path, tokenizer, [[2, highest, 3, highest, 3]], vocab_size)
    dataset = open_sequences(tmp_path)
    assert dataset.features["input_ids"].feature.dtype == dtype
    assert dataset[0]["input_ids"] == [2, highest, 3, highest, 3]


def test_an_empty_batch_begins_no_shard(tmp_path):
    writer = SequenceWriter(tmp_path, sequence_schema(100))
    writer.write(next(batches(ROWS)).slice(0, 0))
    writer.close()
    assert writer.shards == []
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_run_is_removed_and_files_of_others_stay(folder, tokenizer):
    (folder / "notes.txt").write_text("mine")
    (folder / "data-00001.arrow.bak").write_text("mine")
    SequenceWriter(folder, sequence_schema(100))
    assert sorted(path.name for path in folder.iterdir()) == ["data-00001.arrow.bak", "notes.txt"]


def damage_nothing_written_last(folder):
    (folder / "metadata.json").unlink()
    return "metadata.json is missing"


def damage_missing_shard(folder):
    (folder / "data-00001.arrow").unlink()
    return "data-00001.arrow is missing"


def damage_short_shard(folder):
    path = folder / "data-00002.arrow"
    path.write_bytes(path.read_bytes()[:-8])
    return r"data-00002.arrow has \d+ bytes instead of \d+"


def damage_tokenizer(folder):
    (folder / "tokenizer").rename(folder / "elsewhere")
    return "tokenizer/ is missing"


def damage_json(folder):
    (folder / "metadata.json").write_text('{"shards": [')
    return "metadata.json is not what `preprocess` writes"


def damage_other_json(folder):
    (folder / "metadata.json").write_text(json.dumps({"shards": [], "rows": 7}))
    return "metadata.json is not what `preprocess` writes"


def damage_list(folder):
    (folder / "metadata.json").write_text("[]")
    return "metadata.json is not what `preprocess` writes"


DAMAGES = [
    damage_nothing_written_last,
    damage_missing_shard,
    damage_short_shard,
    damage_tokenizer,
    damage_json,
    damage_other_json,
    damage_list,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_half_written_folder_is_refused_by_name_and_by_what_is_missing(folder, damage):
    message = damage(folder)
    for read in (read_metadata, open_sequences, open_tokenizer):
        with pytest.raises(InputError, match=f"sequences is half-written: {message}; run `preprocess` again"):
            read(folder)


def test_a_shard_of_the_right_size_with_other_bytes_is_refused(folder):
    path = folder / "data-00000.arrow"
    path.write_bytes(b"\x07" * path.stat().st_size)
    with pytest.raises(InputError, match="damaged shard"):
        open_sequences(folder)


def test_a_folder_without_sequences_is_refused(tmp_path, tokenizer):
    write_folder(tmp_path, tokenizer, [])
    with pytest.raises(InputError, match="holds no sequences"):
        open_sequences(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"sequences: there is no folder .*nowhere"):
        read_metadata(tmp_path / "nowhere")


def test_a_folder_of_something_else_is_not_called_half_written(tmp_path):
    (tmp_path / "book.txt").write_text("The cat sleeps.")
    for read in (read_metadata, open_sequences, open_tokenizer):
        with pytest.raises(InputError, match="was not written by `preprocess`"):
            read(tmp_path)


def test_a_tokenizer_that_did_not_make_the_sequences_is_refused(folder, tokenizer, tmp_path):
    other = small_tokenizer(tmp_path / "other")
    other.add_tokens(["elsewhere"])
    other.save_pretrained(folder / "tokenizer")
    with pytest.raises(InputError, match="sequences is not the one that made its sequences; run `preprocess` again"):
        open_tokenizer(folder)


@pytest.mark.parametrize("value", ["32", 32.5, None, True, [32]])
def test_metadata_of_another_type_are_refused(folder, value):
    content = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(content | {"max_seq_length": value}))
    with pytest.raises(InputError, match=r"metadata\.json is not what `preprocess` writes"):
        read_metadata(folder)


@pytest.mark.parametrize("change", [{"name": "../secret"}, {"name": 7}, {"bytes": "7"}])
def test_a_shard_that_no_run_writes_is_refused(folder, change):
    content = json.loads((folder / "metadata.json").read_text())
    content["shards"][0] |= change
    (folder / "metadata.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"metadata\.json is not what `preprocess` writes"):
        read_metadata(folder)
