"""Figures of the report as inline SVG: they take their colours from the page and fit any width.

Lengths along x are percentages, so that bars stretch with the page while letters keep their size.
"""

import math
from collections.abc import Sequence
from html import escape

from bert_distillation.report_words import NO_NUMBER, metric_name, percent
from bert_distillation.summary import Score

BAR_SCALE = 86.0  # percent of the width that a score of 1 takes; the rest is for the numbers
ROW_HEIGHT, BAR_HEIGHT, AXIS_HEIGHT = 56, 12, 24
MAX_POINTS = 400  # of a curve; more would not be seen
CURVE_CLASSES = ("line-a", "line-b", "line-c", "line-d")


def glue_bars(scores: Sequence[Score]) -> str:
    """Bars of student and teacher for each task, with the published scores as marks across them."""
    height = ROW_HEIGHT * len(scores) + AXIS_HEIGHT
    rows = [glue_row(score, ROW_HEIGHT * index) for index, score in enumerate(scores)]
    return figure("glue", "GLUE scores of student and teacher", describe_glue(scores), height, [axis(height), *rows])


def figure(ident: str, title: str, words: str, height: int, parts: Sequence[str]) -> str:
    """An SVG with a title and the same in words."""
    return (
        f'<svg class="bars" role="img" width="100%" height="{height}" '
        f'aria-labelledby="{ident}-title {ident}-description"><title id="{ident}-title">{escape(title)}</title>'
        f'<desc id="{ident}-description">{escape(words)}</desc>{"".join(parts)}</svg>'
    )


def axis(height: int) -> str:
    """Grid lines and numbers from 0 to 100."""
    parts = []
    for tick in range(0, 101, 20):
        x = tick / 100 * BAR_SCALE
        anchor = "start" if tick == 0 else "middle"
        parts.append(f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{height - AXIS_HEIGHT}"/>')
        parts.append(f'<text class="tick" x="{x:.2f}%" y="{height - 6}" text-anchor="{anchor}">{tick}</text>')
    return "".join(parts)


def glue_row(score: Score, top: int) -> str:
    """One task: its name, the two bars, the two marks."""
    name = f'<tspan class="task">{escape(score.task.folder)}</tspan> <tspan class="metric">{metric_name(score)}</tspan>'
    pairs = (
        ("student", score.student, score.task.published_student),
        ("teacher", score.teacher, score.task.published_teacher),
    )
    bars = [glue_bar(*pair, top + 20 + index * (BAR_HEIGHT + 2)) for index, pair in enumerate(pairs)]
    return f'<text x="0" y="{top + 14}">{name}</text>{"".join(bars)}'


def glue_bar(model: str, value: float | None, published: float | None, top: int) -> str:
    """One bar with its number at the right end of the row, and the mark of the published score."""
    width = BAR_SCALE * min(max(value or 0.0, 0.0), 1.0)
    parts = [f'<rect class="{model}" x="0" y="{top}" width="{width:.2f}%" height="{BAR_HEIGHT}" rx="2"/>']
    if published is not None:
        place = (
            f'x1="{BAR_SCALE * published:.2f}%" x2="{BAR_SCALE * published:.2f}%" y1="{top}" y2="{top + BAR_HEIGHT}"'
        )
        parts.append(f'<line class="halo" {place}/><line class="mark" {place}/>')
    parts.append(
        f'<text class="value" x="100%" y="{top + BAR_HEIGHT - 1}" text-anchor="end">{percent(value, NO_NUMBER)}</text>'
    )
    return "".join(parts)


def describe_glue(scores: Sequence[Score]) -> str:
    """The figure in words."""
    return " ".join(
        f"{score.task.folder}: student {percent(score.student)}, published "
        f"{percent(score.task.published_student, NO_NUMBER)}; teacher {percent(score.teacher)}, "
        f"published {percent(score.task.published_teacher)}."
        for score in scores
    )


def loss_curves(log: Sequence[dict[str, float]]) -> str:
    """The training loss and its parts over the steps; rows of `training_log.jsonl`."""
    names = [name for name in log[0] if name == "loss" or name.startswith("loss_")][: len(CURVE_CLASSES)]
    return curves(log, names, "loss", "Training loss over steps")


def curves(log: Sequence[dict[str, float]], names: Sequence[str], ident: str, title: str) -> str:
    """Columns of the log over the steps. ident: begins the ids of the figure's parts."""
    rows = thin(log)
    values = [row[name] for row in rows for name in names]
    ticks = nice_ticks(min(0.0, *values), max(values))
    first, last = rows[0]["step"], rows[-1]["step"]
    lines = [
        f'<polyline class="{style}" points="{points(rows, name, first, last, ticks)}"/>'
        for name, style in zip(names, CURVE_CLASSES, strict=False)
    ]
    grid = [f'<line class="grid" x1="0" x2="100" y1="{y}" y2="{y}"/>' for y in (height_of(t, ticks) for t in ticks)]
    description = "; ".join(
        f"{curve_name(name)} from {shown(log[0][name])} to {shown(log[-1][name])}" for name in names
    )
    return (
        f'<div class="legend">{legend(names)}</div><div class="curves">'
        f'<div class="y-axis">{"".join(f"<span>{tick:g}</span>" for tick in reversed(ticks))}</div>'
        '<svg class="plot" role="img" viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'aria-labelledby="{ident}-title {ident}-description"><title id="{ident}-title">{escape(title)}</title>'
        f'<desc id="{ident}-description">{escape(description)}.</desc>{"".join(grid)}{"".join(lines)}</svg>'
        f'<div class="x-axis"><span>{first:,.0f}</span><span>optimizer step</span><span>{last:,.0f}</span></div></div>'
    )


def shown(value: float) -> str:
    """A number with three decimals or, where it is very large or very small, three digits."""
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.3g}"


def thin(log: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """At most `MAX_POINTS` rows, evenly spaced, the last among them."""
    stride = math.ceil(len(log) / MAX_POINTS)
    return list(log[::-1][::stride][::-1])


def points(rows: Sequence[dict[str, float]], name: str, first: float, last: float, ticks: Sequence[float]) -> str:
    """The polyline of one column, in a box of 100 x 100."""
    span = max(last - first, 1e-9)
    return " ".join(f"{100 * (row['step'] - first) / span:.2f},{height_of(row[name], ticks):.2f}" for row in rows)


def height_of(value: float, ticks: Sequence[float]) -> float:
    """y in a box of 100 whose lower edge is the first tick and upper edge the last."""
    return 100 * (ticks[-1] - value) / (ticks[-1] - ticks[0])


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers, three to seven of them, that span the values."""
    span = max(high - low, 1e-6)
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * size for size in (0.2, 0.5, 1.0, 2.0) if span / (power * size) <= 5)
    start, end = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 9) for index in range(start, max(end, start + 2) + 1)]


def legend(names: Sequence[str]) -> str:
    """Swatches of the curves."""
    return "".join(
        f'<span><i class="swatch {style}"></i>{escape(curve_name(name))}</span>'
        for name, style in zip(names, CURVE_CLASSES, strict=False)
    )


def curve_name(column: str) -> str:
    """A column of the log in words."""
    words = {"loss": "total", "loss_ce": "soft targets", "loss_mlm": "masked LM", "loss_cos": "cosine"}
    words |= {"learning_rate": "learning rate", "tokens_per_second": "tokens a second"}
    return words.get(column, column)
