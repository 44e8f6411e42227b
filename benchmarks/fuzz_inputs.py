"""The good inputs that benchmarks/fuzz_readers.py spoils: small ones of every kind."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from transformers import BertConfig, BertForMaskedLM

from bert_distillation.checkpoints import MANIFEST, RunIdentity, begin_checkpoint, complete_checkpoint
from bert_distillation.hub import bert_tokenizer
from bert_distillation.preprocess import PreprocessConfig, preprocess

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = [
    f"The {thing} stands in the {place} by the river." for thing in ("cat", "house") for place in ("town", "sun")
]
RUN = RunIdentity({"seed": "0"}, {"num_processes": "1"})


@dataclass(frozen=True)
class Inputs:
    """Folders of good inputs, by name."""

    folder: Path
    manifest: str  # of the checkpoint, below its folder
    run: RunIdentity

    def copy(self, name: str, file: str) -> Callable[[Path], Path]:
        """What copies a folder to another place and gives a file of it there."""

        def prepare(place: Path) -> Path:
            # Components and pipelines refer to each other, as they do in the repository.
            whole = name in ("components", "pipelines", "endpoint")
            shutil.copytree(self.folder / "repository" if whole else self.folder / name, place)
            folders = {"components": "components/", "pipelines": "pipelines/", "endpoint": "endpoints/fill-mask/"}
            return place / f"{folders.get(name, '')}{file}"

        return prepare


def make(folder: Path) -> Inputs:
    """Write all of them."""
    documents = ["\n".join(SENTENCES)] * 3
    rows = [{"text": text, "id": number} for number, text in enumerate(documents)]
    jsonl = "".join(json.dumps(row) + "\n" for row in rows)
    write(folder / "corpus_txt" / "a.txt", "\n\n".join(documents))
    write(folder / "corpus_jsonl" / "a.jsonl", jsonl)
    write(folder / "corpus_gz" / "a.jsonl.gz", gzip.compress(jsonl.encode(), mtime=0))
    (folder / "corpus_parquet").mkdir()
    pyarrow.parquet.write_table(pa.table({"text": documents}), folder / "corpus_parquet" / "a.parquet")
    cloze = [{"input_string": "The [MASK] is old.", "title": "house"}, {"input_string": "[MASK]!", "title": "yes"}]
    write(folder / "cloze" / "a.jsonl", "".join(json.dumps(row) + "\n" for row in cloze))
    write(folder / "cloze_json" / "a.json", json.dumps(cloze))
    write(folder / "cloze_csv" / "a.csv", 'input_string,title\n"The [MASK], is old.",house\n[MASK]!,yes\n')
    pairs = [{"sentence_good": "A cat sleeps.", "sentence_bad": "A cat sleep.", "UID": "agreement", "field": "syntax"}]
    write(folder / "pairs_jsonl" / "a.jsonl", "".join(json.dumps(row) + "\n" for row in pairs * 3))
    crows = "id,sent_more,sent_less,stereo_antistereo,bias_type\n0,He cooks.,She cooks.,stereo,gender\n"
    write(folder / "pairs_csv" / "a.csv", crows)
    write(folder / "evaluation_config" / "a.json", json.dumps({"metrics": ["accuracy", "f1"], "bootstrap": 100}))
    request = {"input_data": ["Paris is the [MASK] of France.", "A [MASK]."], "params": {"top_k": 2, "targets": ["a"]}}
    write(folder / "request" / "a.json", json.dumps(request))
    make_glue(folder / "glue")
    make_models(folder)
    for name in ("components", "pipelines", "endpoints", "environments"):
        shutil.copytree(ROOT / name, folder / "repository" / name)
    partial = begin_checkpoint(folder / "checkpoints", 5, RUN)
    write(partial / "state.json", "{}")
    place = complete_checkpoint(partial, folder / "checkpoints", 5, RUN, keep=1)
    return Inputs(folder, f"{place.name}/{MANIFEST}", RUN)


def write(file: Path, content: str | bytes) -> None:
    """A file and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def make_glue(folder: Path) -> None:
    """The first lines of our own sample in GLUE's layout."""
    for file in (ROOT / "sample_data" / "glue").rglob("*.tsv"):
        lines = file.read_bytes().splitlines(keepends=True)[:12]
        write(folder / file.relative_to(ROOT / "sample_data" / "glue"), b"".join(lines))


def make_models(folder: Path) -> None:
    """A tokenizer and a model of a few weights, and sequences made with it."""
    vocabulary = sorted({word for text in SENTENCES for word in text.lower().replace(".", " .").split()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *vocabulary]
    write(folder / "model" / "vocab.txt", "\n".join(pieces) + "\n")
    tokenizer = bert_tokenizer(folder / "model" / "vocab.txt")
    tokenizer.save_pretrained(folder / "model")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertForMaskedLM(BertConfig(vocab_size=len(pieces), max_position_embeddings=64, **sizes)).save_pretrained(
        folder / "model"
    )
    outputs = {name: folder / name for name in ("sequences", "held_out", "test_data")}
    preprocess(
        PreprocessConfig(
            **outputs,
            corpus=folder / "corpus_txt",
            tokenizer=folder / "model",
            max_seq_length=32,
            held_out_fraction=0.0,
            num_workers=1,
        )
    )
