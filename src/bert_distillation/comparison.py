"""Several models beside one teacher: what `compare` shows, without its words.

Each model's numbers come from the `metrics.json` of its own `report`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.glue import CARD_TASKS, TASKS
from bert_distillation.options import existing_folder
from bert_distillation.results import REPORT_METRICS, is_number
from bert_distillation.summary import ratio

# Ablation of Sanh et al. (2019), table 4: points of the GLUE mean that are lost.
PUBLISHED = {"without_ce": -2.96, "without_cos": -1.46, "without_mlm": -0.31, "random_initialization": -3.69}
VARIANTS = {
    "teacher": "teacher",
    "all_losses": "all three losses",
    "without_ce": "without soft targets",
    "without_mlm": "without masked LM",
    "without_cos": "without cosine",
    "masked_lm_alone": "masked LM alone",
    "random_initialization": "random initialization",
    "without_teacher": "without a teacher",
}
WHOLE = "all_losses"  # what the others are compared with
HELD_OUT_TOKENS = "mlm_masked_tokens"  # there where `evaluate` was given held-out text
OF_HELD_OUT = ("mlm_loss", "mlm_accuracy", "teacher_agreement")
MEASURED = (*OF_HELD_OUT, HELD_OUT_TOKENS, "exact_match", "num_parameters", "latency_milliseconds")


@dataclass(frozen=True)
class Scored:
    """A number, and the standard deviation of a seed where there were several."""

    value: float
    deviation: float | None = None


@dataclass(frozen=True)
class Difference:
    """Points between two means over seeds, and the standard error of that where there were several seeds."""

    points: float
    error: float | None = None


@dataclass(frozen=True)
class Row:
    """What one model came to."""

    variant: str
    tasks: Mapping[str, Scored]  # GLUE task -> headline, as a share
    measured: Mapping[str, float]  # of `evaluate`, with the ends of its intervals
    seeds: int = 1  # of fine-tuning, a task

    @property
    def mean(self) -> Scored | None:
        """The mean over the card's tasks, its deviation as if their seeds were independent; None without tasks."""
        scores = [score for name, score in self.tasks.items() if name in CARD_TASKS]
        if not scores:
            return None
        squares = [score.deviation**2 for score in scores if score.deviation is not None]
        deviation = math.sqrt(sum(squares)) / len(scores) if len(squares) == len(scores) else None
        return Scored(sum(score.value for score in scores) / len(scores), deviation)


@dataclass(frozen=True)
class Comparison:
    """All rows, in the order of `VARIANTS`."""

    rows: tuple[Row, ...]

    @property
    def seeds(self) -> int:
        """The most that a row has."""
        return max((row.seeds for row in self.rows), default=1)

    def row(self, variant: str) -> Row | None:
        """The row of a variant, if it was run."""
        return next((row for row in self.rows if row.variant == variant), None)

    def points(self, row: Row) -> Difference | None:
        """Points of the GLUE mean above the student with all losses; both are means over the seeds of fine-tuning."""
        whole = self.row(WHOLE)
        if whole is None or row.mean is None or whole.mean is None:
            return None
        points, error = 100 * (row.mean.value - whole.mean.value), None
        if row.mean.deviation is not None and whole.mean.deviation is not None:
            parts = (row.mean.deviation / math.sqrt(row.seeds), whole.mean.deviation / math.sqrt(whole.seeds))
            error = 100 * math.hypot(*parts)
        return Difference(points, error)

    def kept(self, row: Row) -> float | None:
        """The row's mean as a share of the teacher's."""
        teacher = self.row("teacher")
        if teacher is None or row.mean is None or teacher.mean is None:
            return None
        return ratio(row.mean.value, teacher.mean.value)


def read_row(variant: str, folder: Path) -> Row:
    """A model's row, from the folder of its report."""
    existing_folder(variant, folder, "the report of one model, written by `report`")
    file = folder / REPORT_METRICS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        ran = {name: score for name, score in content["glue"].items() if score["student"] is not None}
        tasks = {name: Scored(score["student"], score["student_deviation"]) for name, score in ran.items()}
        measured = {name: value for name, value in content["student"].items() if name.startswith(MEASURED)}
        if HELD_OUT_TOKENS not in measured:  # then they are of test sentences
            measured = {name: value for name, value in measured.items() if not name.startswith(OF_HELD_OUT)}
        numbers = [*measured.values(), *(score.value for score in tasks.values())]
        numbers += [score.deviation for score in tasks.values() if score.deviation is not None]
        if not all(map(is_number, numbers)) or not tasks.keys() <= TASKS.keys():
            raise ValueError
        seeds = min((int(score["seeds"]) for score in ran.values()), default=1)
        if seeds < 1:
            raise ValueError
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise InputError(f"{variant}: {file} is not what `report` writes; give the folder of a report.") from None
    return Row(variant, tasks, measured, seeds)


def compare_reports(folders: Mapping[str, Path]) -> Comparison:
    """The comparison of the models whose reports are given; all must have run the same tasks."""
    rows = [read_row(variant, folder) for variant, folder in folders.items()]
    check_held_out_text([row for row in rows if HELD_OUT_TOKENS in row.measured])
    for row in rows[1:]:
        if set(row.tasks) != set(rows[0].tasks):
            raise InputError(
                f"{row.variant} ran {', '.join(row.tasks) or 'no task'} and {rows[0].variant} ran "
                f"{', '.join(rows[0].tasks) or 'none'}; fine-tune all models on the same tasks."
            )
    return Comparison(tuple(rows))


def check_held_out_text(rows: list[Row]) -> None:
    """Refuse losses of different tokens."""
    for row in rows[1:]:
        counts = [round(one.measured[HELD_OUT_TOKENS]) for one in (row, rows[0])]
        if counts[0] != counts[1]:
            raise InputError(
                f"{row.variant} was evaluated on {counts[0]} masked tokens and {rows[0].variant} on {counts[1]}; "
                "evaluate all models on the same held-out text with the same max_samples and seed."
            )


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    rows = []
    for row in comparison.rows:
        points = comparison.points(row)
        rows.append(
            {
                "variant": row.variant,
                "tasks": {name: vars(score) for name, score in row.tasks.items()},
                "glue_mean": row.mean and vars(row.mean),
                "kept_of_the_teacher": comparison.kept(row),
                "points_to_all_losses": points and vars(points),
                "published_points": PUBLISHED.get(row.variant),
            }
            | dict(row.measured)
        )
    return {"seeds": comparison.seeds, "rows": rows}


def flat_metrics(comparison: Comparison) -> dict[str, float]:
    """The numbers for MLflow: without_ce_rte, without_ce_rte_deviation, without_ce_glue_mean, without_ce_mlm_loss."""
    flat: dict[str, float | None] = {}
    for row in comparison.rows:
        scores = dict(row.tasks) | ({"glue_mean": row.mean} if row.mean else {})
        for name, score in scores.items():
            flat[f"{row.variant}_{name}"] = score.value
            flat[f"{row.variant}_{name}_deviation"] = score.deviation
        flat |= {f"{row.variant}_{name}": value for name, value in row.measured.items()}
        flat[f"{row.variant}_seeds"] = row.seeds
    return {name: value for name, value in flat.items() if value is not None}
