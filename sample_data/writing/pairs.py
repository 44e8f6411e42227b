"""Minimal pairs in BLiMP's layout: a sentence of the corpus, and the same one with one rule broken."""

import json
import random

from writing.glue_sentences import article_behind, plain_sentences, shuffled, wrong_number

PAIRS = 40  # of each rule
RULES = {"agreement": wrong_number, "article": article_behind, "word_order": shuffled}


def write_pairs(corpus: dict[str, str]) -> dict[str, str]:
    """The file of pairs by its name."""
    rows = []
    for rule, spoil in RULES.items():
        rng = random.Random(f"pairs {rule}")
        sentences = plain_sentences(corpus)
        rng.shuffle(sentences)
        broken = ((sentence, spoil(_bare(sentence).split(), rng)) for sentence in sentences)
        pairs = [(good, bad) for good, bad in broken if bad is not None and bad != _bare(good)][:PAIRS]
        rows += [
            {"sentence_good": good, "sentence_bad": f"{bad[0].upper()}{bad[1:]}.", "linguistics_term": rule}
            for good, bad in pairs
        ]
    return {"pairs.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}


def _bare(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:-1]
