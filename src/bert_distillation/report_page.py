"""The report as one HTML page that needs nothing beside it."""

from collections.abc import Sequence
from html import escape
from typing import Any

from bert_distillation.figures import glue_bars, loss_curves
from bert_distillation.glue import CARD_TASKS
from bert_distillation.report_style import STYLE
from bert_distillation.report_words import (
    GLUE_COLUMNS,
    GLUE_NOTE,
    NO_NUMBER,
    NOT_RUN,
    lead,
    mean_values,
    measured,
    metric_name,
    percent,
    score_values,
    share,
    tasks_of,
)
from bert_distillation.summary import Mean, Score, Summary

EXAMPLES_SHOWN = 8
HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>Distillation report</title>"
    '<link rel="icon" href="data:,">'  # else a browser asks the host for /favicon.ico
)
GLUE_LEGEND = (
    '<div class="legend"><span><i class="swatch student"></i>student</span><span><i class="swatch teacher"></i>'
    'teacher</span><span><i class="swatch mark"></i>published: DistilBERT and BERT-base</span></div>'
)
SPEED_NOTE = (
    "Equal seeds mask the same tokens for both models. Speeds are of the machine, and of the hour, in which each "
    "evaluation ran."
)
LOSS_NOTE = "The parts are before their weights, the total is after them."


def report_page(summary: Summary) -> str:
    """The whole page."""
    sections = [
        f'<h1>Distillation report</h1><p class="lead">{escape(lead(summary))}</p>',
        tiles(summary),
        glue_section(summary),
        evaluation_section(summary),
        loss_section(summary),
        examples_section(summary),
        settings_section(summary),
    ]
    body = "\n".join(section for section in sections if section)
    head = f"<head>{HEAD}<style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def tiles(summary: Summary) -> str:
    """The few numbers to remember: (name, number, what stands beside it)."""
    items = []
    if mean := summary.mean:
        items.append(("GLUE mean", percent(mean.student), f"{tasks_of(mean)}; the card: {percent(mean.card)}"))
        items.append(("Kept of the teacher", share(mean.retention), f"published: {share(mean.published_retention)}"))
    shown = ("Masked-LM loss", "Parameters", "Throughput")
    rows = [row for row in measured(summary) if row[0].startswith(shown)]
    items += [(name, student, f"teacher: {teacher}") for name, student, teacher in rows]
    tile = "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>"
    return f'<dl class="tiles">{"".join(tile.format(*map(escape, item)) for item in items)}</dl>'


def glue_section(summary: Summary) -> str:
    """The figure and the table of GLUE."""
    run = [score for score in summary.scores if score.student is not None or score.teacher is not None]
    figure = f"<figure>{GLUE_LEGEND}{glue_bars(run)}</figure>" if run else ""
    in_mean = [glue_row(score) for score in summary.scores if score.task.name in CARD_TASKS]
    outside = [glue_row(score) for score in summary.scores if score.task.name not in CARD_TASKS]
    rows = [*in_mean, mean_row(summary.mean), *outside]
    return f"<h2>GLUE</h2>{figure}{table(('Task', *GLUE_COLUMNS), rows, 'glue')}{note(GLUE_NOTE)}"


def mean_row(mean: Mean | None) -> str:
    """The row of the means; none where no task was run."""
    if mean is None:
        return ""
    heading = f'<th scope="row">Mean<small>{tasks_of(mean)}</small></th>'
    return f'<tr class="mean">{heading}{cells(mean_values(mean))}</tr>'


def glue_row(score: Score) -> str:
    """A task's row of the table."""
    heading = f'<th scope="row">{escape(score.task.folder)}<small>{metric_name(score)}</small></th>'
    return f"<tr>{heading}{cells(score_values(score))}</tr>"


def evaluation_section(summary: Summary) -> str:
    """Masked-LM metrics, size and speed of both models."""
    rows = [f'<tr><th scope="row">{name}</th>{cells(values)}</tr>' for name, *values in measured(summary)]
    columns = ("Measure", "Student", "Teacher")
    return f"<h2>Masked words, size and speed</h2>{table(columns, rows, 'pair')}{note(SPEED_NOTE)}"


def loss_section(summary: Summary) -> str:
    """The training curve; a run of a single log line has none."""
    if len(summary.training_log) < 2:
        return ""
    return f"<h2>Training loss</h2><figure>{loss_curves(summary.training_log)}</figure>{note(LOSS_NOTE)}"


def examples_section(summary: Summary) -> str:
    """What the student answered to the first test sentences."""
    if not summary.predictions:
        return ""
    rows = [example_row(row) for row in summary.predictions[:EXAMPLES_SHOWN]]
    return f"<h2>Answers of the student</h2>{table(('Text', 'Word', 'Answers'), rows, 'text')}"


def example_row(row: dict[str, Any]) -> str:
    """One test sentence with its first three answers."""
    answers = ", ".join(f"{word['token']} {word['score']:.0%}" for word in row["candidates"][:3])
    return f"<tr>{cells((row['input_string'], row['title'], answers))}</tr>"


def settings_section(summary: Summary) -> str:
    """The settings of the training run."""
    if summary.training is None:
        return ""
    settings = summary.training.get("configuration", {}) | summary.training.get("versions", {})
    rows = [f'<tr><th scope="row">{escape(name)}</th>{cells([str(value)])}</tr>' for name, value in settings.items()]
    return f"<h2>Settings of the training</h2>{table(('Setting', 'Value'), rows, 'text')}"


def table(columns: Sequence[str], rows: Sequence[str], style: str) -> str:
    """A table that scrolls by itself where the page is too narrow for it."""
    heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
    head, body = f"<thead><tr>{heads}</tr></thead>", f"<tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table class="{style}">{head}{body}</table></div>'


def cells(values: Sequence[str]) -> str:
    """Table cells; what was not run is set back."""
    return "".join(
        f'<td class="missing">{value}</td>' if value in (NOT_RUN, NO_NUMBER) else f"<td>{escape(value)}</td>"
        for value in values
    )


def note(text: str) -> str:
    """A remark in small type."""
    return f'<p class="note">{escape(text)}</p>'
