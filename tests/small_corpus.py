"""Small texts of our own and a vocabulary made from them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pyarrow.ipc

from bert_distillation.blocks import Recipe
from bert_distillation.hub import bert_tokenizer
from bert_distillation.sequences import read_metadata

PEOPLE = "Anna Bruno Clara David Emma Felix Greta Henry Ida Jonas".split()  # noqa: SIM905
THINGS = "boat garden letter window bridge mountain kettle piano lantern orchard".split()  # noqa: SIM905
ACTIONS = "painted visited repaired described admired forgot remembered followed".split()  # noqa: SIM905
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def documents(count: int, seed: int = 0, sentences: tuple[int, int] = (2, 12)) -> list[str]:
    """Different documents of a few paragraphs; no two sentences are equal."""
    random, number = Random(seed), 0
    texts = []
    for _ in range(count):
        lines = []
        for _ in range(random.randint(*sentences)):
            number += 1
            parts = random.choice(PEOPLE), random.choice(ACTIONS), random.choice(THINGS)
            lines.append("{} {} the {} on day {}.".format(*parts, number))
        cut = random.randint(1, len(lines))
        texts.append("\n".join(" ".join(part) for part in (lines[:cut], lines[cut:]) if part))
    return texts


def write_vocabulary(folder: Path, texts: Iterable[str]) -> Path:
    """A folder with a `vocab.txt` of the texts' words (without numbers) and their characters."""
    text = " ".join(texts).lower()
    characters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-") | set(re.findall(r"\S", text)))
    words = sorted(set(re.findall(r"[a-z]{2,}", text)))
    pieces = [*SPECIALS, *characters, *(f"##{character}" for character in characters), *words]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return folder


def write_jsonl(path: Path, texts: Iterable[str]) -> Path:
    """A jsonl file with one text a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)))
    return path


def small_recipe(folder: Path, texts: Iterable[str], max_seq_length: int = 64, seed: int = 0) -> Recipe:
    """A recipe with the vocabulary of the texts."""
    return Recipe.of(bert_tokenizer(write_vocabulary(folder, texts) / "vocab.txt"), max_seq_length, seed)


def read_rows(folder: Path) -> list[tuple[list[int], int]]:
    """(input_ids, second_start) of each sequence, read without the reader under test."""
    rows = []
    for shard in read_metadata(folder).shards:
        table = pyarrow.ipc.open_stream(str(folder / shard.name)).read_all().to_pydict()
        rows += zip(table["input_ids"], table["second_start"], strict=True)
    return rows
