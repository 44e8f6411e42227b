"""The readers that `fuzz_readers.py` spoils files for, each with a good file.

What they need of the packages is imported when they are made, in the process that is bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_inputs import Inputs, make


@dataclass(frozen=True)
class Reader:
    """A good input in a folder, the file of it that is spoiled, and what reads it."""

    prepare: Callable[[Path], Path]
    read: Callable[[Path], object]
    structured: bool = False  # JSON: values are changed as well


def readers(folder: Path) -> dict[str, Reader]:
    """All readers; `folder` holds what several of them need."""
    from bert_distillation.quiet import make_quiet

    make_quiet()
    made = make(folder)
    return readers_of_text(made) | readers_of_training(made) | readers_of_models(made) | readers_of_jobs(made)


def readers_of_text(made: Inputs) -> dict[str, Reader]:
    """Corpora, cloze tests, minimal pairs and GLUE."""
    from bert_distillation.cloze import read_cloze
    from bert_distillation.corpus import read_folder
    from bert_distillation.glue import TASKS
    from bert_distillation.glue_data import load_task
    from bert_distillation.minimal_pairs import read_pairs

    def corpus(path: Path) -> object:
        return list(read_folder(path.parent))

    def cloze(path: Path) -> object:
        return read_cloze(path, "[MASK]")

    found = {
        "corpus.txt": Reader(made.copy("corpus_txt", "a.txt"), corpus),
        "corpus.jsonl": Reader(made.copy("corpus_jsonl", "a.jsonl"), corpus, True),
        "corpus.jsonl.gz": Reader(made.copy("corpus_gz", "a.jsonl.gz"), corpus),
        "corpus.parquet": Reader(made.copy("corpus_parquet", "a.parquet"), corpus),
        "cloze.jsonl": Reader(made.copy("cloze", "a.jsonl"), cloze, True),
        "cloze.json": Reader(made.copy("cloze_json", "a.json"), cloze, True),
        "cloze.csv": Reader(made.copy("cloze_csv", "a.csv"), cloze),
        "pairs.jsonl": Reader(made.copy("pairs_jsonl", "a.jsonl"), read_pairs, True),
        "pairs.csv": Reader(made.copy("pairs_csv", "a.csv"), read_pairs),
    }
    for task, file in (("sst2", "SST-2"), ("stsb", "STS-B"), ("cola", "CoLA"), ("mnli", "MNLI")):
        path = made.copy("glue", f"{file}/train.tsv")
        found[f"glue {file}"] = Reader(path, lambda path, task=task: load_task(TASKS[task], path.parent.parent, ""))
    return found


def readers_of_training(made: Inputs) -> dict[str, Reader]:
    """What `preprocess` and the training steps write for themselves and each other."""
    from bert_distillation.checkpoints import find_checkpoint
    from bert_distillation.sequences import check_shards, open_sequences, open_tokenizer

    def sequences(path: Path) -> None:
        check_shards(path.parent)
        open_tokenizer(path.parent)
        for row in open_sequences(path.parent):
            row["input_ids"]

    def checkpoint(path: Path) -> object:
        return find_checkpoint(path.parent.parent, made.run, elastic=True)

    return {
        "metadata.json": Reader(made.copy("sequences", "metadata.json"), sequences, True),
        "shard": Reader(made.copy("sequences", "data-00000.arrow"), sequences),
        "checkpoint.json": Reader(made.copy("checkpoints", made.manifest), checkpoint, True),
    }


def readers_of_models(made: Inputs) -> dict[str, Reader]:
    """Models, tokenizers, and what is asked of them."""
    from transformers import AutoModelForMaskedLM

    from bert_distillation import hub
    from bert_distillation.evaluation_config import read_evaluation_config
    from bert_distillation.scoring import parse_request

    def model(path: Path) -> object:
        return hub.load_model(AutoModelForMaskedLM, path.parent, "", of="model")

    def tokenizer(path: Path) -> object:
        return hub.load_tokenizer(path.parent, "", of="model")

    def config_file(path: Path) -> object:
        return read_evaluation_config(path, "")

    def request(path: Path) -> object:
        return parse_request(path.read_bytes().decode("utf-8", "surrogateescape"))

    return {
        "model config.json": Reader(made.copy("model", "config.json"), model, True),
        "model.safetensors": Reader(made.copy("model", "model.safetensors"), model),
        "tokenizer.json": Reader(made.copy("model", "tokenizer.json"), tokenizer, True),
        "evaluation config": Reader(made.copy("evaluation_config", "a.json"), config_file, True),
        "request": Reader(made.copy("request", "a.json"), request, True),
    }


def readers_of_jobs(made: Inputs) -> dict[str, Reader]:
    """Files for Azure."""
    from azureml_local.checks import check_file

    return {
        "component.yml": Reader(made.copy("components", "distill.yml"), check_file),
        "pipeline.yml": Reader(made.copy("pipelines", "distilbert.yml"), check_file),
        "deployment.yml": Reader(made.copy("endpoint", "deployment.yml"), check_file),
    }
