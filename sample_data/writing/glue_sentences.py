"""Single sentences with a label, and the pronoun task: CoLA, SST-2, WNLI."""

import random
import re
from collections.abc import Callable

from writing.facts import Fact
from writing.templates import GLUE, Filler, read_sections

_AGREEMENT = {
    "is": "are",
    "has": "have",
    "was": "were",
    "lives": "live",
    "works": "work",
    "eats": "eat",
    "likes": "like",
}
_ARTICLES = ("a", "an", "the", "his", "her", "their")
_PLAIN = re.compile(r"(?:^|(?<=[.!?] ))[A-Z][^\".!?]*\.(?= |$)", re.MULTILINE)


def plain_sentences(corpus: dict[str, str]) -> list[str]:
    """The corpus's statements of five to eleven words without quotation marks, each once."""
    found = (sentence for text in corpus.values() for sentence in _PLAIN.findall(text))
    return list(dict.fromkeys(sentence for sentence in found if 5 <= len(sentence.split()) <= 11))


def acceptable(label: str, rng: random.Random, sentences: list[str]) -> tuple[str, str]:
    """CoLA: a sentence of the corpus, or, for label 0, one with its order or its agreement broken."""
    sentence = rng.choice(sentences)
    if label == "1":
        return sentence, ""
    words = sentence[0].lower() + sentence[1:-1]
    broken = next(filter(None, (spoil(words.split(), rng) for spoil in rng.sample(_SPOILERS, len(_SPOILERS)))))
    return f"{broken[0].upper()}{broken[1:]}.", "*"


def article_behind(words: list[str], rng: random.Random) -> str | None:
    """`A baker works in bakery a`."""
    places = [place for place, word in enumerate(words[:-1]) if word in _ARTICLES]
    if not places:
        return None
    place = rng.choice(places)
    words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def shuffled(words: list[str], rng: random.Random) -> str:
    """`Bakery works a in baker a`."""
    mixed = rng.sample(words, len(words))
    return " ".join(mixed if mixed[0] != words[0] else [*mixed[1:], mixed[0]])


def wrong_number(words: list[str], _rng: random.Random) -> str | None:
    """`A baker work in a bakery`."""
    place = next((place for place, word in enumerate(words) if word in _AGREEMENT), None)
    if place is None:
        return None
    return " ".join([*words[:place], _AGREEMENT[words[place]], *words[place + 1 :]])


_SPOILERS: tuple[Callable[[list[str], random.Random], str | None], ...] = (article_behind, shuffled, wrong_number)


def sentiment(label: str, rng: random.Random) -> tuple[str, str]:
    """SST-2: an opinion, written as there in lower case with spaces round the punctuation."""
    _, words = read_sections(GLUE / "sentiment.txt")
    mood = "positive" if label == "1" else "negative"
    feeling, feeling_too = rng.sample(words[mood], 2)
    row = {"feeling": feeling, "feeling_too": feeling_too, "thing": rng.choice(words["thing"])}
    row["ending"] = rng.choice(words[f"{mood}_ending"])
    return Filler(rng).fill(rng.choice(words["sentence"]), row).lower(), ""


def pronoun(label: str, rng: random.Random) -> tuple[str, str]:
    """WNLI: whom `it` stands for follows from what only an animal, or only a thing, can be."""
    _, words = read_sections(GLUE / "pronouns.txt")
    row: dict[str, Fact] = {"animal": rng.choice(words["animal"]), "object": rng.choice(words["object"])}
    # More often the animal, so that even a model that reads only the hypothesis learns something.
    quality, noun = rng.choice((("alive", "animal"), ("alive", "animal"), ("lifeless", "object")))
    wrong_noun = "object" if noun == "animal" else "animal"
    row |= {"quality": rng.choice(words[quality]), "noun": row[noun if label == "1" else wrong_noun]}
    filler = Filler(rng)
    return filler.fill(rng.choice(words["sentence"]), row), filler.fill(words["hypothesis"][0], row)
