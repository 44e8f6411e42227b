"""The tables of facts, `facts/*.csv`, as rows that a template can be filled from.

A cell with semicolons is a list; an empty cell is a fact that is not stated, and its field is left out of the row.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

from writing.grammar import plural, without_article

Fact: TypeAlias = str | tuple[str, ...]
Row: TypeAlias = Mapping[str, Fact]

FOLDER = Path(__file__).resolve().parents[1] / "facts"

# Where an animal lives decides the word before it; every other home takes "in".
_ON = ("farm", "ice", "coast", "lake")
_NO_COAST = "-"


@cache
def read_facts(table: str) -> tuple[Row, ...]:
    """Every row of `facts/<table>.csv`, with the fields that follow from the written ones."""
    with (FOLDER / f"{table}.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(_row(table, cells) for cells in csv.DictReader(lines))


def texts(fact: Fact) -> tuple[str, ...]:
    """A fact as a list, also when it is a single text."""
    return (fact,) if isinstance(fact, str) else fact


def text(row: Row, field: str) -> str:
    """The fact as one text: the first one where there are several."""
    return texts(row[field])[0]


def _row(table: str, cells: dict[str, str]) -> Row:
    row: dict[str, Fact] = {name: _fact(cell) for name, cell in cells.items() if cell}
    if "plural" in cells and "plural" not in row:
        row["plural"] = plural(next(iter(cells.values())))
    row |= _derived(table, row)
    return row


def _fact(cell: str) -> Fact:
    parts = tuple(part.strip() for part in cell.split(";"))
    return parts if len(parts) > 1 else parts[0]


def _derived(table: str, row: dict[str, Fact]) -> dict[str, Fact]:
    """What follows from the written facts; a field with an empty text only marks that something holds."""
    derived: dict[str, Fact] = {}
    if table == "animals":
        home = str(row["home"])
        derived["the_home"] = f"the {home}"
        derived["at_home"] = f"{'on' if home in _ON else 'in'} the {home}"
        if "kind" in row:
            derived["kinds"] = plural(str(row["kind"]))
    elif table == "countries" and row["seas"] == _NO_COAST:
        del row["seas"]
        derived["landlocked"] = ""
    elif table == "instruments":
        derived["plural"] = plural(str(row["instrument"]))
    elif table == "plants":
        derived["bare_part"] = without_article(str(row["part"]))
        if row["plural"] != row["plant"]:
            derived["countable"] = ""
    elif table == "sports" and "players" not in row:
        derived["alone"] = ""
    return derived
