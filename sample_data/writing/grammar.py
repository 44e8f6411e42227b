"""The little English that the templates leave to code: articles, plurals, lists, capitals of sentences."""

import re
from collections.abc import Sequence

_IRREGULAR = {"fish": "fish", "mouse": "mice", "wolf": "wolves", "child": "children"}
_SOUNDS_LIKE_A_CONSONANT = ("uni", "use", "eu", "one")
_SILENT_H = ("hour", "honest")
# After a full stop, also inside or behind quotation marks; `"Why?" she asks` goes on in the same sentence.
_SENTENCE_START = re.compile(r'(?:^"?|[.!?] "?|\." "?|[!?]" ")[a-z]')


def with_article(noun: str) -> str:
    """`a` or `an` and the noun."""
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(_SOUNDS_LIKE_A_CONSONANT)
    return f"{'an' if vowel or noun.startswith(_SILENT_H) else 'a'} {noun}"


def without_article(phrase: str) -> str:
    """The phrase without a leading `a`, `an` or `the`."""
    return re.sub(r"^(?:an?|the) ", "", phrase)


def plural(noun: str) -> str:
    """The plural of a noun, by rule where no irregular one is known."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def join(words: Sequence[str], conjunction: str = "and") -> str:
    """`red`, `red and white`, `red, white and blue`."""
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def sentence_case(text: str) -> str:
    """The text with a capital letter at the start of each of its sentences."""
    return _SENTENCE_START.sub(lambda match: match[0][:-1] + match[0][-1].upper(), text)
