"""Metrics, parameters and names of models, read from MLflow's database without MLflow, whose import takes seconds."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

MAX_POINTS = 500  # of a curve
INFINITY = 1.7976931348623157e308  # as MLflow writes it

Point = tuple[int, float | None]  # step and value; None for what is not a finite number

CURVES = 'SELECT rowid, "key", step, value, is_nan FROM metrics WHERE run_uuid = ? AND rowid > ? ORDER BY "key", step'
LATEST = 'SELECT value FROM latest_metrics WHERE run_uuid = ? AND "key" = ? AND NOT is_nan'
MODEL = "SELECT 1 FROM registered_models WHERE name = ?"
PARAMS = 'SELECT "key", value FROM params WHERE run_uuid = ? ORDER BY "key"'


def read_params(database: Path, run_id: str) -> dict[str, str]:
    """The parameters that a run has logged."""
    with _opened(database) as connection:
        return dict(connection.execute(PARAMS, (run_id,))) if connection else {}


def read_latest(database: Path, run_id: str, metric: str) -> float | None:
    """The last value of a run's metric; None where it has none, or none that is a number."""
    with _opened(database) as connection:
        found = connection.execute(LATEST, (run_id, metric)).fetchone() if connection else None
    return found[0] if found and abs(found[0]) < INFINITY else None


def has_model(database: Path, name: str) -> bool:
    """Whether MLflow's own registry has a model of that name."""
    with _opened(database) as connection:
        return bool(connection and connection.execute(MODEL, (name,)).fetchone())


def read_curves(database: Path, run_id: str, since: int = 0) -> tuple[int, dict[str, list[Point]]]:
    """Each metric's points by step, at most MAX_POINTS of them, and the mark to give as `since` for those that follow.

    Extremes stay where points are left out.
    """
    with _opened(database) as connection:
        rows = connection.execute(CURVES, (run_id, since)).fetchall() if connection else []
    curves: dict[str, list[Point]] = {}
    for _, key, step, value, is_nan in rows:
        curves.setdefault(key, []).append((step, None if is_nan or abs(value) >= INFINITY else value))
    return max((row[0] for row in rows), default=since), {key: thinned(curve) for key, curve in curves.items()}


def thinned(curve: list[Point], most: int = MAX_POINTS) -> list[Point]:
    """The curve, or the lowest and the highest point of each of its stretches, and its two ends."""
    if len(curve) <= most:
        return curve
    inner = curve[1:-1]
    stretches = (most - 2) // 2
    edges = [len(inner) * number // stretches for number in range(stretches + 1)]
    pairs = (_extremes(inner[first:last]) for first, last in pairwise(edges))
    return [curve[0], *(point for pair in pairs for point in pair), curve[-1]]


def _extremes(stretch: list[Point]) -> Iterable[Point]:
    """The lowest and the highest point, in their order; of a stretch without numbers, its first point."""
    values = [(value, place) for place, (_, value) in enumerate(stretch) if value is not None]
    places = {min(values)[1], max(values)[1]} if values else {0}
    return [stretch[place] for place in sorted(places)]


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection | None]:
    """The database, which the jobs may write to meanwhile; None where there is none yet."""
    if not database.exists():
        yield None
        return
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=2)) as connection:
        yield connection
