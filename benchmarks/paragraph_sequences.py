"""Sequences as DistilBERT's original code made them: each paragraph alone, too long ones cut, very short ones left out.

    python benchmarks/paragraph_sequences.py --corpus DIR --tokenizer DIR --sequences DIR [--max_seq_length 128]

Their lengths differ far more than those of the sentence pairs that `preprocess` fills up, and so does what padding
costs. The folder is laid out as `preprocess` lays it out, for `benchmarks/distill_step.py`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from plain_errors import plain_errors
from transformers import PreTrainedTokenizerFast

from bert_distillation.corpus import read_folder
from bert_distillation.hub import fingerprint, load_tokenizer
from bert_distillation.sequences import TOKENIZER_FOLDER, Metadata, SequenceWriter, sequence_schema, write_metadata

SHORTEST = 12  # tokens, special ones included; the original drops what has 11 or fewer
PARAGRAPHS_PER_BATCH = 10_000


def paragraph_sequences(
    paragraphs: list[str], tokenizer: PreTrainedTokenizerFast, max_seq_length: int
) -> Iterator[list[int]]:
    """`[CLS] paragraph [SEP]`, in parts of up to `max_seq_length` tokens."""
    size = max_seq_length - 2
    for ids in tokenizer(paragraphs, add_special_tokens=False, verbose=False)["input_ids"]:
        for start in range(0, len(ids), size):
            sequence = [tokenizer.cls_token_id, *ids[start : start + size], tokenizer.sep_token_id]
            if len(sequence) >= SHORTEST:
                yield sequence


def write_sequences(corpus: Path, tokenizer: PreTrainedTokenizerFast, max_seq_length: int, folder: Path) -> Metadata:
    """Write the folder; returns what it holds."""
    schema = sequence_schema(len(tokenizer))
    writer, documents, paragraphs, lengths = SequenceWriter(folder, schema), 0, [], []

    def write() -> None:
        rows = list(paragraph_sequences(paragraphs, tokenizer, max_seq_length))
        lengths.extend(map(len, rows))
        columns = [pa.array(rows, schema[0].type), pa.array(list(map(len, rows)), schema[1].type)]
        writer.write(pa.record_batch(columns, schema=schema))
        paragraphs.clear()

    for document in read_folder(corpus):
        documents += 1
        paragraphs += [line for line in document.splitlines() if line.strip()]
        if len(paragraphs) >= PARAGRAPHS_PER_BATCH:
            write()
    write()
    writer.close()
    tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)
    metadata = Metadata(
        documents=documents,
        sentences=len(lengths),
        sequences=len(lengths),
        corpus_tokens=sum(lengths) - 2 * len(lengths),
        tokens=sum(lengths),
        vocab_size=len(tokenizer),
        max_seq_length=max_seq_length,
        tokenizer_fingerprint=fingerprint(tokenizer),
        configuration_checksum="paragraphs",
        shards=tuple(writer.shards),
    )
    write_metadata(folder, metadata)
    return metadata


@plain_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--max_seq_length", type=int, default=128)
    options = parser.parse_args()
    tokenizer = load_tokenizer(options.tokenizer, "", of="tokenizer")
    metadata = write_sequences(options.corpus, tokenizer, options.max_seq_length, options.sequences)
    print(f"{metadata.sequences} sequences of {metadata.tokens / metadata.sequences:.1f} tokens on average")


if __name__ == "__main__":
    main()
