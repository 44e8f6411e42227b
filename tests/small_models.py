"""Two-layer models from configs and a vocabulary of a few dozen words."""

import json
from pathlib import Path

import pyarrow as pa
import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel, PreTrainedTokenizerFast

from bert_distillation.hub import bert_tokenizer, fingerprint
from bert_distillation.sequences import Metadata, SequenceWriter, sequence_schema, write_metadata

WORDS = """
    the a of is in and to it was at on by paris rome france italy capital river city lake day today sunny rainy old
    small large cat dog bird fish runs sleeps eats sings swims he she they we you man woman child book tree house
    . , ! ? ##s ##ing ##ed ##er
"""
# Pairs of sentences, 36 sequences of 20 tokens.
TEXTS = [(f"the {a} sees the river .", f"the {b} is in the old house .") for a in "abcdef" for b in "uvwxyz"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused0]",
    *WORDS.split(),
    *(letter for letter in LETTERS if letter != "a"),
    *(f"##{letter}" for letter in LETTERS if letter != "s"),
]


def small_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer over `PIECES`, its vocabulary written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return bert_tokenizer(folder / "vocab.txt")


def small_bert(seed: int = 0, **settings: object) -> BertForMaskedLM:
    """A BERT of four layers, 32 wide, whose weights are large enough that outputs differ."""
    torch.manual_seed(seed)
    sizes = {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    vocabulary = {"vocab_size": len(PIECES), "max_position_embeddings": 64, "initializer_range": 0.2}
    return BertForMaskedLM(BertConfig(**(sizes | vocabulary | settings)))


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Write model and tokenizer in Hugging Face format."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def move_word(folder: Path, word: str, index: int) -> Path:
    """Give a word of the tokenizer in a folder another id, which leaves a gap."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"][word] = index
    file.write_text(json.dumps(content))
    return folder


def small_sequences(folder: Path, tokenizer: PreTrainedTokenizerFast, texts: list[tuple[str, str]]) -> Path:
    """A sequences folder with one sequence a pair of texts."""
    schema = sequence_schema(len(tokenizer))
    pairs = [[tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair] for pair in texts]
    rows = [[2, *first, 3, *second, 3] for first, second in pairs]
    starts = [len(first) + 2 for first, _ in pairs]
    writer = SequenceWriter(folder, schema)
    writer.write(pa.record_batch([pa.array(rows, schema[0].type), pa.array(starts, schema[1].type)], schema=schema))
    writer.close()
    tokenizer.save_pretrained(folder / "tokenizer")
    write_metadata(
        folder,
        Metadata(
            documents=len(texts),
            sentences=2 * len(texts),
            sequences=len(texts),
            corpus_tokens=sum(map(len, rows)),
            tokens=sum(map(len, rows)),
            vocab_size=len(tokenizer),
            max_seq_length=max(map(len, rows)),
            tokenizer_fingerprint=fingerprint(tokenizer),
            configuration_checksum="small",
            shards=tuple(writer.shards),
        ),
    )
    return folder
