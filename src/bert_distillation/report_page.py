"""The report as one HTML page that needs nothing beside it."""

from html import escape
from typing import Any

from bert_distillation.claims import claims
from bert_distillation.figures import curves, glue_bars, loss_curves
from bert_distillation.glue import CARD_TASKS
from bert_distillation.pair_figures import retention_bars
from bert_distillation.report_parts import cells, note, table
from bert_distillation.report_probes import positions_section, probes_section
from bert_distillation.report_style import STYLE
from bert_distillation.report_words import (
    GLUE_COLUMNS,
    GLUE_NOTE,
    caution,
    lead,
    mean_values,
    measured,
    metric_name,
    percent,
    score_values,
    settings_words,
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
RETENTION_LEGEND = (
    '<div class="legend"><span><i class="swatch student"></i>kept of the teacher</span><span>'
    '<i class="swatch mark"></i>published</span></div>'
)
CLAIMS_NOTE = (
    "What Sanh et al. (2019) say of DistilBERT and BERT-base, and what this run came to. Throughput is of the machine "
    "that ran the evaluation."
)
SPEED_NOTE = (
    "Equal seeds mask the same tokens for both models. In brackets: 95% bootstrap intervals over sequences or rows. "
    "Speeds are of the machine that ran the evaluation; an evaluation that was given the teacher timed both in turn."
)
LOSS_NOTE = "The parts are before their weights, the total is after them."


def report_page(summary: Summary) -> str:
    """The whole page."""
    sections = [
        f'<h1>Distillation report</h1><p class="lead">{escape(lead(summary))}</p>{caution_part(summary)}',
        tiles(summary),
        claims_section(summary),
        glue_section(summary),
        evaluation_section(summary),
        positions_section(summary),
        loss_section(summary),
        probes_section(summary),
        examples_section(summary),
        settings_section(summary),
    ]
    body = "\n".join(section for section in sections if section)
    head = f"<head>{HEAD}<style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def caution_part(summary: Summary) -> str:
    """What keeps a reader from taking a small run for a failed one."""
    return f'<p class="caution">{escape(text)}</p>' if (text := caution(summary)) else ""


def tiles(summary: Summary) -> str:
    """The few numbers to remember: (name, number, what stands beside it)."""
    items = []
    if mean := summary.mean:
        items.append(("GLUE mean", percent(mean.student), f"{tasks_of(mean)}; the card: {percent(mean.card)}"))
        items.append(("Kept of the teacher", share(mean.retention), f"published: {share(mean.published_retention)}"))
    shown = ("Masked-LM loss", "Parameters", "Throughput")
    rows = [row for row in measured(summary) if row[0].startswith(shown)]
    items += [(name, student.split(" (")[0], f"teacher: {teacher.split(' (')[0]}") for name, student, teacher in rows]
    tile = "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>"
    return f'<dl class="tiles">{"".join(tile.format(*map(escape, item)) for item in items)}</dl>'


def claims_section(summary: Summary) -> str:
    """The paper's claims as a checklist."""
    rows = [
        f'<tr><th scope="row">The student {escape(claim.text)}</th>{cells([claim.measured, claim.verdict])}</tr>'
        for claim in claims(summary)
    ]
    return f"<h2>The paper's claims</h2>{table(('Claim', 'Measured', 'Verdict'), rows, 'pair')}{note(CLAIMS_NOTE)}"


def glue_section(summary: Summary) -> str:
    """The figure and the table of GLUE."""
    run = [score for score in summary.scores if score.student is not None or score.teacher is not None]
    figure = f"<figure>{GLUE_LEGEND}{glue_bars(run)}</figure>" if run else ""
    in_mean = [glue_row(score) for score in summary.scores if score.task.name in CARD_TASKS]
    outside = [glue_row(score) for score in summary.scores if score.task.name not in CARD_TASKS]
    rows = [*in_mean, mean_row(summary.mean), *outside]
    return (
        f"<h2>GLUE</h2>{figure}{table(('Task', *GLUE_COLUMNS), rows, 'glue')}{note(GLUE_NOTE)}{retention_part(summary)}"
    )


def retention_part(summary: Summary) -> str:
    """The figure of what is kept, where student and teacher ran a task."""
    if not any(score.retention is not None for score in summary.scores):
        return ""
    bars = retention_bars(summary.scores, summary.mean)
    return f"<h3>Kept of the teacher</h3><figure>{RETENTION_LEGEND}{bars}</figure>"


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
    parts = [f"<h2>Training loss</h2><figure>{loss_curves(summary.training_log)}</figure>{note(LOSS_NOTE)}"]
    for column, title in (("learning_rate", "Learning rate"), ("tokens_per_second", "Throughput")):
        if all(column in row for row in summary.training_log):
            figure = curves(summary.training_log, [column], column.replace("_", "-"), f"{title} over steps")
            parts.append(f'<figure class="half">{figure}</figure>')
    return "".join(parts)


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
    settings = settings_words(summary.training.get("configuration", {})) | summary.training.get("versions", {})
    rows = [f'<tr><th scope="row">{escape(name)}</th>{cells([str(value)])}</tr>' for name, value in settings.items()]
    return f"<h2>Settings of the training</h2>{table(('Setting', 'Value'), rows, 'text')}"
