"""The folder of token sequences that `preprocess` writes and training reads, memory-mapped.

data-00000.arrow ...  Arrow streams with the columns
                      input_ids: list<uint16> (uint32 for a large vocabulary), [CLS] A [SEP] B [SEP], no padding
                      second_start: uint16, the index of B's first token; token_type_ids are 1 from there on
tokenizer/            the tokenizer that made the ids
step.json             what made the folder
metadata.json         counts and the list of shards; written last, so a folder without it is half-written
"""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from transformers import PreTrainedTokenizerFast

from bert_distillation.errors import InputError
from bert_distillation.hub import fingerprint, load_tokenizer
from bert_distillation.options import existing_folder
from bert_distillation.tracking import PARTIAL, STEP_FILE, checksum, write_json

METADATA_FILE = "metadata.json"
TOKENIZER_FOLDER = "tokenizer"
SHARD_NAME = re.compile(r"data-\d{5}\.arrow")
BATCHES_PER_SHARD = 32  # some 50 MB: few files for a large corpus, and none too large to copy


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of sequences."""

    name: str
    sequences: int
    tokens: int
    bytes: int
    sha256: str

    def is_whole(self, folder: Path) -> bool:
        """Whether the file is the one that was written. Reads all of it."""
        file = folder / self.name
        return file.is_file() and file.stat().st_size == self.bytes and checksum(file) == self.sha256


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What `metadata.json` says of the folder."""

    documents: int
    sentences: int
    sequences: int
    corpus_tokens: int  # word pieces of the text, each once
    tokens: int  # of the sequences: with the random B's, which repeat text, and the special tokens
    vocab_size: int
    max_seq_length: int
    tokenizer_fingerprint: str
    configuration_checksum: str
    shards: tuple[Shard, ...]


def token_type(vocab_size: int) -> pa.DataType:
    """The narrowest type that holds the ids of the vocabulary."""
    return pa.uint16() if vocab_size <= 65535 else pa.uint32()


def sequence_schema(vocab_size: int) -> pa.Schema:
    """The columns of a shard."""
    return pa.schema({"input_ids": pa.list_(token_type(vocab_size)), "second_start": pa.uint16()})


class SequenceWriter:
    """Writes batches of sequences into shards; with `write_metadata` at the end the folder is complete.

    What an earlier run left in the folder, but for the shards to go on after, is removed first; files of others stay.
    A shard lies beside its place until it is whole.
    """

    def __init__(self, folder: Path, schema: pa.Schema, shards: Iterable[Shard] = ()):
        self.folder, self.schema = folder, schema
        self.shards = list(shards)
        self.stream: pa.ipc.RecordBatchStreamWriter | None = None
        self.file: IO[bytes] | None = None
        _remove_earlier_run(folder, keep={shard.name for shard in self.shards})

    def write(self, batch: pa.RecordBatch) -> bool:
        """Add a batch of sequences; whether a shard is whole with it, as every so many batches one is."""
        if batch.num_rows == 0:
            return False
        if self.stream is None:
            self.name = f"data-{len(self.shards):05}.arrow"
            self.batches = self.sequences = self.tokens = 0
            self.file = (self.folder / f"{self.name}{PARTIAL}").open("wb")
            self.stream = pa.ipc.new_stream(self.file, self.schema)
        self.stream.write_batch(batch)
        self.batches += 1
        self.sequences += batch.num_rows
        self.tokens += len(batch.column("input_ids").values)
        if self.batches < BATCHES_PER_SHARD:
            return False
        self.close()
        return True

    def close(self) -> None:
        """End the current shard, if one is open."""
        if self.stream is None or self.file is None:
            return
        self.stream.close()
        self.file.close()
        file = (self.folder / f"{self.name}{PARTIAL}").rename(self.folder / self.name)
        self.shards.append(
            Shard(
                name=self.name,
                sequences=self.sequences,
                tokens=self.tokens,
                bytes=file.stat().st_size,
                sha256=checksum(file),
            )
        )
        self.stream = self.file = None


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Write `metadata.json`, the last file of a complete folder."""
    write_json(folder / METADATA_FILE, dataclasses.asdict(metadata))


def read_metadata(folder: Path, of: str = "sequences") -> Metadata:
    """What the folder, given for input `of`, holds, after a look that all of it is there."""
    existing_folder(of, folder, "token sequences written by `preprocess`")
    if not (folder / METADATA_FILE).is_file():
        if not (folder / STEP_FILE).exists() and not any(map(_is_shard, folder.iterdir())):
            raise InputError(f"{folder} was not written by `preprocess`; give a folder of its sequences.")
        raise _half_written(folder, f"{METADATA_FILE} is missing")
    try:
        metadata = _parse_metadata((folder / METADATA_FILE).read_bytes())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _half_written(folder, f"{METADATA_FILE} is not what `preprocess` writes") from None
    for shard in metadata.shards:
        file = folder / shard.name
        if not file.is_file():
            raise _half_written(folder, f"{shard.name} is missing")
        if file.stat().st_size != shard.bytes:
            raise _half_written(folder, f"{shard.name} has {file.stat().st_size} bytes instead of {shard.bytes}")
    if not (folder / TOKENIZER_FOLDER).is_dir():
        raise _half_written(folder, f"{TOKENIZER_FOLDER}/ is missing")
    return metadata


def check_shards(folder: Path) -> None:
    """Refuse a folder with a damaged shard, by its name. Reads all of it."""
    for shard in read_metadata(folder).shards:
        if not shard.is_whole(folder):
            raise InputError(f"{folder / shard.name} is damaged: it is not what was written; run `preprocess` again.")


def open_sequences(folder: Path) -> datasets.Dataset:
    """The sequences, memory-mapped; a row has `input_ids` and `second_start`."""
    metadata = read_metadata(folder)
    if not metadata.shards:
        raise InputError(f"{folder} holds no sequences; run `preprocess` on more text, or with --held_out_fraction.")
    try:
        return datasets.concatenate_datasets(
            [datasets.Dataset.from_file(str(folder / shard.name)) for shard in metadata.shards]
        )
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{folder} has a damaged shard ({error}); run `preprocess` again.") from error


def sequence_lengths(sequences: datasets.Dataset) -> np.ndarray:
    """(S,) tokens of each sequence, as uint16."""
    column = sequences.data.column("input_ids")
    return pc.list_value_length(column).to_numpy().astype(np.uint16)


def open_tokenizer(folder: Path, of: str = "sequences") -> PreTrainedTokenizerFast:
    """The tokenizer that made the sequences, given for input `of`."""
    metadata = read_metadata(folder, of)
    tokenizer = load_tokenizer(folder / TOKENIZER_FOLDER, "", of=of)
    if fingerprint(tokenizer) != metadata.tokenizer_fingerprint:
        raise InputError(f"the tokenizer in {folder} is not the one that made its sequences; run `preprocess` again.")
    return tokenizer


def _parse_metadata(text: bytes) -> Metadata:
    """The metadata; an error of whatever kind where the text is not what `write_metadata` writes."""
    content = json.loads(text)
    shards = tuple(Shard(**shard) for shard in content.pop("shards"))
    metadata = Metadata(**content, shards=shards)
    for record in (metadata, *shards):
        for name, value in vars(record).items():
            if name != "shards" and type(value) is not type(record).__annotations__[name]:
                raise TypeError(name)
    if not all(SHARD_NAME.fullmatch(shard.name) for shard in shards):
        raise ValueError("shards")
    return metadata


def _remove_earlier_run(folder: Path, keep: set[str]) -> None:
    """Remove what `preprocess` wrote here before, `metadata.json` first, but for some shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METADATA_FILE).unlink(missing_ok=True)
    (folder / STEP_FILE).unlink(missing_ok=True)
    for path in folder.iterdir():
        if _is_shard(path) and path.name not in keep:
            path.unlink()
    shutil.rmtree(folder / TOKENIZER_FOLDER, ignore_errors=True)


def _is_shard(path: Path) -> bool:
    """Whether a file is a shard, whole or not."""
    return SHARD_NAME.fullmatch(path.name.removesuffix(PARTIAL)) is not None


def _half_written(folder: Path, missing: str) -> InputError:
    return InputError(f"{folder} is half-written: {missing}; run `preprocess` again.")
