"""Tables and notes of the report, as HTML."""

from collections.abc import Sequence
from html import escape

from bert_distillation.report_words import NO_NUMBER, NOT_RUN

LEGEND = (
    '<div class="legend"><span><i class="swatch student"></i>student</span><span><i class="swatch teacher"></i>'
    "teacher</span></div>"
)


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
