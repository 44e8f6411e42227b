"""The corpus: for every row of facts, the documents that the plans ask for, each with a scene of its own.

A scene is what a document may need besides its subject: two people, a day, a country, something to eat. It is drawn
once a document, so that its sentences agree with each other.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator

from writing.facts import Fact, Row, read_facts, text, texts
from writing.templates import DOCUMENTS, Templates, read_templates, write_document

_HOURS = ("five", "six", "seven", "half past six", "half past seven")
_LATE_HOURS = ("nine", "ten", "half past nine")
_NUMBERS = ("three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DRINKS = ("tea", "coffee", "milk", "cocoa")
_RIDES = ("bus", "tram", "bicycle", "train")
_OTHERS = ("other", "third", "fourth")


def write_corpus() -> dict[str, str]:
    """The text of each file of the corpus by its name: documents parted by blank lines."""
    documents: dict[str, list[str]] = defaultdict(list)
    for path in sorted(DOCUMENTS.glob("*.txt")):
        templates = read_templates(path)
        documents[templates.corpus] += _documents(templates)
    for name, texts_of_file in documents.items():
        random.Random(name).shuffle(texts_of_file)
    return {f"{name}.txt": "\n\n".join(documents[name]) + "\n" for name in sorted(documents)}


def _documents(templates: Templates) -> Iterator[str]:
    rows = read_facts(templates.table)
    for number, row in enumerate(rows):
        for plan_number, plan in enumerate(templates.plans):
            for copy in range(plan.copies if plan.fits(row) else 0):
                # Seeded by name, so that a new row in the table leaves the documents about its other rows nearly alone.
                rng = random.Random(f"{templates.name} {next(iter(row.values()))} {plan_number} {copy}")
                woman = (number + plan_number + copy) % 2 == 0
                scene = _scene(rng, woman) | _relatives(templates.table, row, rng)
                yield write_document(templates, plan, scene | dict(row), rng)


def _scene(rng: random.Random, woman: bool) -> dict[str, Fact]:
    """Two people and the things of an everyday story."""
    person, friend = _people(rng, woman)
    scene: dict[str, Fact] = dict(person) | {"friend": friend["name"]}
    for table, fields in _SCENERY.items():
        row = rng.choice(read_facts(table))
        scene |= {field: row[field] for field in fields if field in row}
    job, other_job = rng.sample(read_facts("professions"), 2)
    games = [row for row in read_facts("sports") if "the ball" in row["action"] or row["sport"] == "chess"]
    return scene | {
        "profession": job["profession"],
        "other_job": other_job["profession"],
        "sport": rng.choice(games)["sport"],
        "hour": rng.choice(_HOURS),
        "hour2": rng.choice(_LATE_HOURS),
        "number": rng.choice(_NUMBERS),
        "drink": rng.choice(_DRINKS),
        "ride": rng.choice(_RIDES),
    }


_SCENERY = {
    "weekdays": ("weekday", "yesterday", "tomorrow"),
    "months": ("month",),
    "weather": ("weather", "sky", "sky_past"),
    "colours": ("colour",),
    "objects": ("object",),
    "foods": ("food", "taste", "dish"),
    "instruments": ("instrument",),
    "animals": ("animal",),
    "countries": ("country", "capital"),
}


def _people(rng: random.Random, woman: bool) -> tuple[Row, Row]:
    """The person of the document, a woman or a man as asked, and a friend of either kind."""
    names = read_facts("names")
    person = rng.choice([row for row in names if (row["they"] == "she") == woman])
    return person, rng.choice([row for row in names if row is not person])


def _relatives(table: str, row: Row, rng: random.Random) -> dict[str, Fact]:
    """Other rows of the same table, of the same kind where there are kinds, and a country's neighbour, by prefix."""
    rows = [other for other in read_facts(table) if other is not row]
    alike = [other for other in rows if other.get("kind") == row.get("kind")]
    others = rng.sample(alike if len(alike) >= len(_OTHERS) else rows, len(_OTHERS))
    relatives = _prefixed(zip(_OTHERS, others, strict=True))
    return relatives | _neighbour(row, rng) if "neighbours" in row else relatives


def _neighbour(country: Row, rng: random.Random) -> dict[str, Fact]:
    """A country with a common border, and whether the two have a language in common."""
    name = rng.choice(texts(country["neighbours"]))
    neighbour = next(row for row in read_facts("countries") if row["country"] == name)
    common = {*texts(country.get("languages", ()))} & {*texts(neighbour.get("languages", ()))}
    first = "languages" in country and text(country, "languages") in common
    marker: dict[str, Fact] = {"one_tongue": ""} if first else {} if common else {"two_tongues": ""}
    return _prefixed([("next", neighbour)]) | marker


def _prefixed(rows: Iterable[tuple[str, Row]]) -> dict[str, Fact]:
    return {f"{prefix}_{field}": fact for prefix, row in rows for field, fact in row.items()}
