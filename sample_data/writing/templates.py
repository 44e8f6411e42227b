"""Templates of documents, `templates/documents/*.txt`, and how one is filled.

A file names its table of facts and the file of the corpus that it belongs to; then come the plans of its documents,
then one section of sentences for each slot that a plan can name:

    facts: countries
    corpus: geography

    [documents]
    2: capital where? | language coast/river       two documents a row; `|` ends a paragraph,
                                                   `?` leaves a slot out half of the time, `/` chooses
    1 seas: coast                                  only for rows with seas; `1 continent=Asia: ...` with this value
    [capital]
    {capital} is the capital of {country}.         a sentence is a candidate if the row states all of its fields

A field may be followed by words that shape it: `{animal:a}` an article, `{seas:and}` and `{colour:or}` the whole list,
`{makes:one}` any of the list, `{makes:2}` the second of it.
"""

import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from writing.facts import Fact, texts
from writing.grammar import join, sentence_case, with_article

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
DOCUMENTS = _TEMPLATES / "documents"
GLUE = _TEMPLATES / "glue"

_PLAN = re.compile(r"(?P<copies>\d+)(?: (?P<field>\w+)(?:=(?P<value>\w+))?)?: (?P<slots>.+)")


@dataclass(frozen=True)
class Plan:
    """One kind of document: how many a row, for which rows (with this field, of this value), the slots by paragraph."""

    copies: int
    field: str | None
    value: str | None
    paragraphs: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, line: str) -> "Plan":
        """A plan from its line in `[documents]`."""
        if not (match := _PLAN.fullmatch(line)):
            raise ValueError(f"Not a plan of a document: {line!r}.")
        paragraphs = tuple(tuple(paragraph.split()) for paragraph in match["slots"].split("|"))
        return cls(int(match["copies"]), match["field"], match["value"], paragraphs)

    def fits(self, row: Mapping[str, Fact]) -> bool:
        """Whether documents of this kind are written about the row."""
        if self.field is None:
            return True
        return self.field in row and self.value in (None, row[self.field])


@dataclass(frozen=True)
class Templates:
    """One file of templates: the subject's table and corpus file, its plans, its sentences by slot."""

    name: str
    table: str
    corpus: str
    plans: tuple[Plan, ...]
    sentences: dict[str, tuple[str, ...]]

    @cached_property
    def slots(self) -> frozenset[str]:
        """Every slot that a plan names."""
        words = (word for plan in self.plans for paragraph in plan.paragraphs for word in paragraph)
        return frozenset(slot for word in words for slot in word.rstrip("?").split("/"))


def read_templates(path: Path) -> Templates:
    """The templates of one file; a slot without sentences, or the other way round, is an error."""
    head, lines = read_sections(path)
    header = dict(line.split(": ") for line in head)
    plans = tuple(Plan.parse(line) for line in lines.pop("documents"))
    templates = Templates(path.stem, header["facts"], header["corpus"], plans, lines)
    if odd := templates.slots ^ lines.keys():
        raise ValueError(f"{path.name}: slots and sections differ in {sorted(odd)}.")
    return templates


def read_sections(path: Path) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The lines before the first `[section]` of a file, and the lines of each section by its name."""
    head, *parts = re.split(r"^\[(\w+)\]\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    bodies = [tuple(line for line in body.splitlines() if line) for body in (head, *parts[1::2])]
    return bodies[0], dict(zip(parts[::2], bodies[1:], strict=True))


def write_document(templates: Templates, plan: Plan, row: Mapping[str, Fact], rng: random.Random) -> str:
    """One document about the row: a paragraph a line, no sentence template twice."""
    writer = _Writer(templates, row, rng)
    paragraphs = (" ".join(writer.sentences(slots)) for slots in plan.paragraphs)
    return "\n".join(paragraph for paragraph in paragraphs if paragraph)


class _Writer:
    """Fills the slots of one document and remembers which sentences it has used."""

    def __init__(self, templates: Templates, row: Mapping[str, Fact], rng: random.Random) -> None:
        self._templates, self._row, self._rng = templates, row, rng
        self._used: set[str] = set()
        self._filler = Filler(rng)

    def sentences(self, slots: tuple[str, ...]) -> Iterator[str]:
        for slot in slots:
            if slot.endswith("?") and self._rng.random() < 0.5:
                continue
            name = self._rng.choice(slot.rstrip("?").split("/"))
            known = [line for line in self._templates.sentences[name] if states(self._row, line)]
            # A line that stands in the file several times is likelier; whole equals are still used only once.
            if choices := [line for line in known if line not in self._used]:
                line = self._rng.choice(choices)
                self._used.add(line)
                yield self._filler.fill(line, self._row)


def states(row: Mapping[str, Fact], template: str) -> bool:
    """Whether the row has every fact that the template asks for."""
    for _, field, spec, _ in string.Formatter().parse(template):
        if field is not None and field not in row:
            return False
        if field is not None and spec and spec.isdigit() and len(texts(row[field])) < int(spec):
            return False
    return True


class Filler(string.Formatter):
    """`str.format` with the words of this module's docstring after the colon."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def fill(self, template: str, row: Mapping[str, Fact]) -> str:
        """The template with the row's facts, each sentence beginning with a capital."""
        return sentence_case(self.vformat(template, (), row))

    def format_field(self, value: Any, format_spec: str) -> str:
        """One field, shaped by the word after its colon."""
        match format_spec:
            case "one":
                return self._rng.choice(texts(value))
            case "a":
                return with_article(texts(value)[0])
            case "or":
                return join(texts(value), "or")
            case spec if spec.isdigit():
                return texts(value)[int(spec) - 1]
            case "" | "and":
                return join(texts(value))
        raise ValueError(f"Unknown shape {format_spec!r} of a field.")
