"""The comparison of `compare` as one HTML page that needs nothing beside it."""

from html import escape

from bert_distillation.bootstrap import with_bounds
from bert_distillation.comparison import PUBLISHED, VARIANTS, WHOLE, Comparison, Difference, Row, Scored
from bert_distillation.figures import BAR_HEIGHT, BAR_SCALE, figure
from bert_distillation.glue import TASKS
from bert_distillation.report_parts import cells, note, table
from bert_distillation.report_style import STYLE
from bert_distillation.report_words import NO_NUMBER, NOT_RUN, share

HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>What the losses bring</title>"
    '<link rel="icon" href="data:,">'  # else a browser asks the host for /favicon.ico
)
ROW_HEIGHT = 40
LOSS_CAPTION = "Masked-LM loss on held-out text in nats; lower is better."
GLUE_NOTE = (
    "Points of 100; +- is the standard deviation of a seed, for the mean as if the tasks' seeds were independent."
)
HELD_OUT_NOTE = (
    "On held-out text, with equal masks for all models; in brackets 95% bootstrap intervals. Agreement: how often the "
    "likeliest word is the teacher's. Latency is one sequence at a time on the machine that ran the evaluation."
)
PUBLISHED_NOTE = (
    "Points of the GLUE mean against the student with all three losses; +- is the standard error of the difference "
    "over the seeds of fine-tuning, and a difference of less than twice that may be chance. Published: Sanh et al. "
    "(2019), table 4, for six layers of 768, nine tasks, and three epochs of Wikipedia and BookCorpus."
)


def comparison_page(comparison: Comparison) -> str:
    """The whole page."""
    body = "\n".join(
        [
            f'<h1>What the losses bring</h1><p class="lead">{escape(lead(comparison))}</p>',
            held_out_section(comparison),
            glue_section(comparison),
            ablation_section(comparison),
        ]
    )
    head = f"<head>{HEAD}<style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def lead(comparison: Comparison) -> str:
    """The finding in a sentence: the student beside the same one without a teacher, and what it keeps."""
    whole, alone = comparison.row(WHOLE), comparison.row("without_teacher")
    parts = []
    if whole is not None and (kept := comparison.kept(whole)) is not None:
        parts.append(f"The student with all three losses keeps {share(kept)} of its teacher's GLUE mean.")
    if whole is not None and alone is not None and {"mlm_loss"} <= set(whole.measured) & set(alone.measured):
        losses = f"{whole.measured['mlm_loss']:.3f} and {alone.measured['mlm_loss']:.3f} nats"
        parts.append(f"Its held-out loss and that of the same architecture without a teacher are {losses}.")
    return " ".join(parts) or "The models beside each other."


def held_out_section(comparison: Comparison) -> str:
    """The figure of losses and the table of what `evaluate` measured."""
    columns = ("Model", "Masked-LM loss", "Right word", "Agreement", "Parameters", "Latency")
    rows = [line(row, held_out_values(row)) for row in comparison.rows]
    has_losses = any("mlm_loss" in row.measured for row in comparison.rows)
    drawn = f"<figure>{loss_bars(comparison)}<figcaption>{LOSS_CAPTION}</figcaption></figure>" if has_losses else ""
    return f"<h2>Held-out text</h2>{drawn}{table(columns, rows, 'numbers')}{note(HELD_OUT_NOTE)}"


def held_out_values(row: Row) -> list[str]:
    """The cells of a row."""
    found = row.measured
    return [
        measured(row, "mlm_loss", ".3f"),
        measured(row, "mlm_accuracy", ".1f", 100),
        measured(row, "teacher_agreement", ".1f", 100),
        f"{found['num_parameters'] / 1e6:.1f}M" if "num_parameters" in found else NOT_RUN,
        f"{found['latency_milliseconds']:.1f} ms" if "latency_milliseconds" in found else NOT_RUN,
    ]


def measured(row: Row, name: str, form: str, factor: float = 1.0) -> str:
    """A metric with its interval, or that it was not measured."""
    return with_bounds(dict(row.measured), name, form, factor) if name in row.measured else NOT_RUN


def loss_bars(comparison: Comparison) -> str:
    """A bar of the held-out loss for each model."""
    rows = [row for row in comparison.rows if "mlm_loss" in row.measured]
    largest = max(row.measured["mlm_loss"] for row in rows) or 1.0
    parts, words = [], []
    for index, row in enumerate(rows):
        top, loss = ROW_HEIGHT * index, row.measured["mlm_loss"]
        kind = "teacher" if row.variant == "teacher" else "student"
        width = BAR_SCALE * loss / largest
        parts.append(f'<text class="task" x="0" y="{top + 14}">{escape(VARIANTS[row.variant])}</text>')
        parts.append(
            f'<rect class="{kind}" x="0" y="{top + 20}" width="{width:.2f}%" height="{BAR_HEIGHT}" rx="2"/>'
            f'<text class="value" x="100%" y="{top + 19 + BAR_HEIGHT}" text-anchor="end">{loss:.3f}</text>'
        )
        words.append(f"{VARIANTS[row.variant]} {loss:.3f}")
    title = "Held-out masked-LM loss in nats, lower is better"
    return figure("losses", title, "; ".join(words), ROW_HEIGHT * len(rows), parts)


def glue_section(comparison: Comparison) -> str:
    """The table of GLUE; empty where no task was run."""
    tasks = list(comparison.rows[0].tasks)
    if not tasks:
        return ""
    columns = ("Model", *(escape(TASKS[name].folder) for name in tasks), "Mean", "Kept")
    rows = []
    for row in comparison.rows:
        kept = comparison.kept(row)
        values = [points(row.tasks[name]) for name in tasks] + [points(row.mean), share(kept)]
        rows.append(line(row, values))
    seeds = f" {comparison.seeds} seeds a task." if comparison.seeds > 1 else " One seed a task."
    return f"<h2>GLUE</h2>{table(columns, rows, 'numbers')}{note(GLUE_NOTE + seeds)}"


def ablation_section(comparison: Comparison) -> str:
    """Differences to the student with all losses, beside the published ones."""
    rows = []
    for row in comparison.rows:
        if row.variant in ("teacher", WHOLE) or (difference := comparison.points(row)) is None:
            continue
        published = PUBLISHED.get(row.variant)
        values = [difference_of(difference), NO_NUMBER if published is None else f"{published:+.2f}"]
        rows.append(line(row, values))
    if not rows:
        return ""
    return f"<h2>Beside the paper</h2>{table(('Model', 'Here', 'Published'), rows, 'numbers')}{note(PUBLISHED_NOTE)}"


def line(row: Row, values: list[str]) -> str:
    """A row of a table."""
    return f'<tr><th scope="row">{escape(VARIANTS[row.variant])}</th>{cells(values)}</tr>'


def points(score: Scored | None) -> str:
    """'56.1 +- 1.2' of 100."""
    if score is None:
        return NOT_RUN
    return f"{100 * score.value:.1f}" + (f" +- {100 * score.deviation:.1f}" if score.deviation is not None else "")


def difference_of(difference: Difference) -> str:
    """'-2.3 +- 0.8' points."""
    return f"{difference.points:+.1f}" + (f" +- {difference.error:.1f}" if difference.error is not None else "")
