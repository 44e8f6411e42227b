"""The report's sections on masks by position, minimal pairs and bias."""

from html import escape

from bert_distillation.bias_words import (
    OCCUPATION_NOTE,
    PROBE_NOTE,
    inheritance,
    lean_rows,
    pair_rows,
    people_rows,
)
from bert_distillation.pair_figures import occupation_dots, position_bars
from bert_distillation.report_parts import LEGEND, cells, note, table
from bert_distillation.summary import Summary

POSITION_NOTE = "Share of the masked tokens whose word is the model's first, by where in the sequence the mask stands."


def positions_section(summary: Summary) -> str:
    """Where in a sequence the masks are guessed."""
    if not summary.student_positions:
        return ""
    bars = position_bars(summary.student_positions, summary.teacher_positions)
    return f"<h2>Masks by position</h2><figure>{LEGEND}{bars}</figure>{note(POSITION_NOTE)}"


def probes_section(summary: Summary) -> str:
    """Grammar and bias, student beside teacher."""
    student = summary.student_probes
    if student is None:
        return ""
    rows = [f'<tr><th scope="row">{escape(name)}</th>{cells(values)}</tr>' for name, *values in pair_rows(summary)]
    rows += [f'<tr><th scope="row">{escape(name)}</th>{cells(values)}</tr>' for name, *values in lean_rows(summary)]
    parts = [f"<h2>Grammar, limitations and biases</h2>{note(PROBE_NOTE)}"]
    if rows:
        parts.append(table(("Measure", "Student", "Teacher", "Ideal"), rows, "pair"))
    if sentence := inheritance(summary):
        parts.append(f"<p>{escape(sentence)}</p>")
    if student.occupations:
        dots = occupation_dots(student, summary.teacher_probes)
        parts.append(f"<h3>Pronouns of occupations</h3><figure>{LEGEND}{dots}</figure>{note(OCCUPATION_NOTE)}")
    return "".join([*parts, people_part(summary)])


def people_part(summary: Summary) -> str:
    """The words that both models put to people."""
    student, teacher = (dict(people_rows(probes)) for probes in (summary.student_probes, summary.teacher_probes))
    if not student:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(person)}</th>{cells([words, teacher.get(person, "-")])}</tr>'
        for person, words in student.items()
    ]
    columns = ("Person", "The student's likeliest words", "The teacher's")
    return f"<h3>Words for people</h3>{table(columns, rows, 'text')}"
