"""Figures of the report that set student and teacher side by side, as inline SVG like those of `figures`."""

from collections.abc import Callable, Sequence
from html import escape

from bert_distillation.figures import AXIS_HEIGHT, BAR_HEIGHT, figure, nice_ticks
from bert_distillation.report_words import percent, share
from bert_distillation.summary import Mean, Probes, Score

LABEL, NUMBERS = 24.0, 12.0  # percent of the width for the names at the left and the numbers at the right
LINE = 34  # pixels of a row of bars
DOT_LINE, DOTS_SHOWN = 20, 24
MODELS = ("student", "teacher")


def retention_bars(scores: Sequence[Score], mean: Mean | None) -> str:
    """The student's score as a share of the teacher's, a task a row, with what was published as a mark."""
    rows = [(score.task.folder, score.retention, score.published_retention) for score in scores]
    rows = [row for row in rows if row[1] is not None]
    if mean and mean.retention is not None:
        rows.append(("Mean", mean.retention, mean.published_retention))
    ticks = nice_ticks(0.0, max([1.0, *(row[1] for row in rows if row[1])]))
    most, height = ticks[-1], LINE * len(rows)
    parts = grid(ticks, lambda tick: x_of(tick, most), height, "{:.0%}")
    for index, (name, kept, published) in enumerate(rows):
        top = index * LINE
        width = bar_width(max(kept or 0.0, 0.0), most)
        parts.append(f'<text x="0" y="{top + 15}">{escape(name)}</text>')
        parts.append(rect("student", top + 4, width))
        if published is not None:
            place = f'x1="{x_of(published, most):.2f}%" x2="{x_of(published, most):.2f}%"'
            parts.append(f'<line class="halo" {place} y1="{top + 1}" y2="{top + 19}"/>')
            parts.append(f'<line class="mark" {place} y1="{top + 1}" y2="{top + 19}"/>')
        parts.append(number(top + 15, share(kept)))
    words = " ".join(f"{name}: {share(kept)}, published {share(published)}." for name, kept, published in rows)
    return figure("retention", "What the student keeps of its teacher", words, height + AXIS_HEIGHT, parts)


def position_bars(student: Sequence[dict[str, float]], teacher: Sequence[dict[str, float]]) -> str:
    """Masked-LM accuracy by the place of the mask in its sequence."""
    theirs = {row["first"]: row for row in teacher}
    ticks = nice_ticks(0.0, max([row["mlm_accuracy"] for row in (*student, *teacher)] + [0.01]))
    most, height = ticks[-1], LINE * len(student)
    parts, words = grid(ticks, lambda tick: x_of(tick, most), height, "{:.0%}"), []
    for index, row in enumerate(student):
        top, values = index * LINE, [row["mlm_accuracy"]]
        values += [theirs[row["first"]]["mlm_accuracy"]] if row["first"] in theirs else []
        name = f"tokens {row['first']:.0f} to {row['last']:.0f}"
        parts.append(f'<text x="0" y="{top + 18}">{name}</text>')
        parts += [
            rect(model, top + 3 + place * (BAR_HEIGHT + 1), bar_width(value, most))
            for place, (model, value) in enumerate(zip(MODELS, values, strict=False))
        ]
        parts.append(number(top + 18, " / ".join(map(percent, values))))
        words.append(f"{name}: " + ", ".join(f"{m} {percent(v)}" for m, v in zip(MODELS, values, strict=False)) + ".")
    return figure("positions", "Masked-LM accuracy by position", " ".join(words), height + AXIS_HEIGHT, parts)


def occupation_dots(student: Probes, teacher: Probes | None) -> str:
    """The occupations that lean most to either pronoun, a dot a model on the axis of log odds."""
    names = sorted(student.occupations, key=lambda name: student.occupations[name])
    half = DOTS_SHOWN // 2
    names = names if len(names) <= DOTS_SHOWN else [*names[:half], *names[-half:]]
    leans = [student.occupations, teacher.occupations if teacher else {}]
    values = [lean[name] for lean in leans for name in names if name in lean]
    ticks = nice_ticks(min(0.0, *values), max(0.0, *values))
    height = DOT_LINE * len(names)
    parts = grid(ticks, lambda tick: dot_x(tick, ticks), height, "{:+g}")
    for index, name in enumerate(names):
        y = index * DOT_LINE + DOT_LINE / 2
        parts.append(f'<text x="0" y="{y + 4}">{escape(name)}</text>')
        places = [(model, dot_x(lean[name], ticks)) for model, lean in zip(MODELS, leans, strict=True) if name in lean]
        if len(places) == 2:
            ends = sorted(place for _, place in places)
            parts.append(f'<line class="span" x1="{ends[0]:.2f}%" x2="{ends[1]:.2f}%" y1="{y}" y2="{y}"/>')
        parts += [f'<circle class="{model}" cx="{x:.2f}%" cy="{y}" r="5"/>' for model, x in reversed(places)]
    words = " ".join(
        f"{name}: "
        + ", ".join(f"{m} {lean[name]:+.2f}" for m, lean in zip(MODELS, leans, strict=True) if name in lean)
        + "."
        for name in names
    )
    return figure("occupations", "Log odds of he to she by occupation", words, height + AXIS_HEIGHT, parts)


def grid(ticks: Sequence[float], place: Callable[[float], float], height: int, form: str) -> list[str]:
    """Grid lines with their numbers below. place: percent of the width of a value."""
    parts = []
    for tick in ticks:
        x = place(tick)
        style = "grid zero" if tick == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{height}"/>')
        at = f'x="{x:.2f}%" y="{height + 16}" text-anchor="middle"'
        parts.append(f'<text class="tick" {at}>{form.format(tick) if tick else 0}</text>')
    return parts


def x_of(value: float, most: float) -> float:
    """Percent of the width at which a bar of this value ends."""
    return LABEL + bar_width(value, most)


def bar_width(value: float, most: float) -> float:
    """Percent of the width; the longest bar is `most`."""
    return (100 - LABEL - NUMBERS) * value / most


def dot_x(value: float, ticks: Sequence[float]) -> float:
    """Percent of the width on the axis of the dots."""
    return LABEL + (97 - LABEL) * (value - ticks[0]) / (ticks[-1] - ticks[0])


def rect(model: str, top: float, width: float) -> str:
    """A bar."""
    return f'<rect class="{model}" x="{LABEL}%" y="{top}" width="{width:.2f}%" height="{BAR_HEIGHT}" rx="2"/>'


def number(y: float, text: str) -> str:
    """A number at the right edge."""
    return f'<text class="value" x="100%" y="{y}" text-anchor="end">{escape(text)}</text>'
