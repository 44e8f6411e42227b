"""Masked sentences, as Azure's fill-mask evaluation sample has them: `input_string` and `title`."""

import json
import random

from writing.glue_sentences import plain_sentences

ROWS = 200
MASK = "[MASK]"


def write_cloze(corpus: dict[str, str]) -> dict[str, str]:
    """The file of masked sentences by its name; each has lost one word, never its first."""
    rng = random.Random("cloze")
    sentences = rng.sample(plain_sentences(corpus), ROWS)
    return {"masked.jsonl": "".join(json.dumps(_masked(sentence, rng)) + "\n" for sentence in sentences)}


def _masked(sentence: str, rng: random.Random) -> dict[str, str]:
    words = sentence[:-1].split()
    place = rng.choice([index for index, word in enumerate(words) if index and word.isalpha()])
    text = " ".join([*words[:place], MASK, *words[place + 1 :]])
    return {"input_string": f"{text}.", "title": words[place]}
