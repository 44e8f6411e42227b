"""Claims: one fact of one row, said in several ways, asked for, denied, or made false with another row's answer."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from writing.facts import Row, read_facts, texts
from writing.templates import GLUE, Filler, read_sections, states

_FILLER = Filler(random.Random(0))


@dataclass(frozen=True)
class Kind:
    """What can be claimed about the rows of one table: the templates of `templates/glue/statements.txt`."""

    name: str
    table: str
    answer: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    negation: str
    neutrals: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """One kind of claim about one row."""

    kind: Kind
    row: Row

    @property
    def answer(self) -> frozenset[str]:
        """What is claimed, to be compared with the answer of another row."""
        return frozenset(texts(self.row[self.kind.answer[0]]))

    def within(self, statement: str) -> str:
        """One of its statements as it stands inside another sentence: without the capital, unless a name begins it."""
        templates = (line for line in self.kind.statements if _FILLER.fill(line, self.row) == statement)
        template = next(templates)
        return _FILLER.vformat(template[0].lower() + template[1:], (), self.row)

    def statements(self, rng: random.Random) -> list[str]:
        """All ways to state the claim, in random order."""
        return self._shuffled(self.kind.statements, rng)

    def questions(self, rng: random.Random) -> list[str]:
        """All ways to ask for the answer, in random order."""
        return self._shuffled(self.kind.questions, rng)

    def neutral(self, rng: random.Random) -> str:
        """A sentence about the same subject that the claim neither supports nor excludes."""
        return _FILLER.fill(rng.choice(self.kind.neutrals), self.row)

    def negation(self) -> str:
        """The claim denied."""
        return _FILLER.fill(self.kind.negation, self.row)

    def falsified(self, other: "Claim") -> "Claim":
        """The claim with the answer of another one of its kind."""
        wrong = {field: other.row[field] for field in self.kind.answer}
        return Claim(self.kind, dict(self.row) | wrong)

    def _shuffled(self, templates: tuple[str, ...], rng: random.Random) -> list[str]:
        return [_FILLER.fill(template, self.row) for template in rng.sample(templates, len(templates))]


@cache
def kinds() -> tuple[Kind, ...]:
    """Every kind of claim."""
    _, sections = read_sections(GLUE / "statements.txt")
    return tuple(_kind(name, lines) for name, lines in sections.items())


def draw(rng: random.Random, tables: tuple[str, ...] = ()) -> Claim:
    """Any claim; all kinds are equally likely, however many rows they have."""
    kind = rng.choice([kind for kind in kinds() if not tables or kind.table in tables])
    return rng.choice(_claims(kind))


def draw_rival(claim: Claim, rng: random.Random) -> Claim:
    """A claim of the same kind about another row, with another answer."""
    rivals = (other for other in _claims(claim.kind) if not other.answer <= claim.answer)
    return rng.choice([other for other in rivals if not claim.answer <= other.answer])


def draw_sibling(claim: Claim, rng: random.Random) -> Claim | None:
    """A claim of another kind about the same row, where there is one."""
    siblings = [Claim(kind, claim.row) for kind in kinds() if kind.table == claim.kind.table and kind != claim.kind]
    siblings = [sibling for sibling in siblings if all(states(claim.row, line) for line in sibling.kind.statements)]
    return rng.choice(siblings) if siblings else None


def draw_stranger(claim: Claim, rng: random.Random) -> Claim:
    """A claim about something of another table."""
    kind = rng.choice([kind for kind in kinds() if kind.table != claim.kind.table])
    return rng.choice(_claims(kind))


@cache
def _claims(kind: Kind) -> tuple[Claim, ...]:
    rows = read_facts(kind.table)
    return tuple(Claim(kind, row) for row in rows if all(states(row, line) for line in _all_lines(kind)))


def _all_lines(kind: Kind) -> Iterator[str]:
    yield from (*kind.statements, *kind.questions, *kind.neutrals, kind.negation)


def _kind(name: str, lines: tuple[str, ...]) -> Kind:
    values: dict[str, list[str]] = {}
    for line in lines:
        label, value = line.split(": ", 1)
        values.setdefault(label, []).append(value)
    return Kind(
        name=name,
        table=values["facts"][0],
        answer=tuple(values["answer"][0].split()),
        statements=tuple(values["statement"]),
        questions=tuple(values["question"]),
        negation=values["negation"][0],
        neutrals=tuple(values["neutral"]),
    )
