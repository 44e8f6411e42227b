"""The student's model card, in Markdown."""

import json

from bert_distillation.bias_words import PROBE_NOTE, inheritance, lean_rows, pair_rows, people_rows
from bert_distillation.claims import claims
from bert_distillation.report_words import (
    GLUE_COLUMNS,
    GLUE_NOTE,
    caution,
    lead,
    mean_values,
    measured,
    metric_name,
    score_values,
    settings_words,
    tasks_of,
)
from bert_distillation.summary import Summary

SETTINGS_SHOWN = (
    "num_train_epochs",
    "max_train_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "temperature",
    "alpha_ce",
    "alpha_mlm",
    "alpha_cos",
)
LIMITATIONS = """\
The student learns from its teacher and from the text it was trained on, and takes over the biases of both: what it puts
in place of a mask may repeat stereotypes of gender, origin or religion. It predicts words, it does not know facts.
Check it on your own text before it decides anything about people."""


def model_card(summary: Summary) -> str:
    """The whole card."""
    parts = [
        "# DistilBERT fill-mask model",
        "## Description",
        f"A BERT distilled to a smaller DistilBERT that predicts masked words. {lead(summary)}",
        caution(summary),
        training_part(summary),
        "## Evaluation results",
        claims_table(summary),
        glue_table(summary),
        measures(summary),
        "## Limitations and biases",
        LIMITATIONS,
        *bias_parts(summary),
        sample_part(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def training_part(summary: Summary) -> str:
    """How the student was trained and from what, where its folder was given."""
    if summary.training is None:
        return ""
    settings = summary.training.get("configuration", {})
    said = settings_words(settings)
    rows = [row(name, said[name]) for name in SETTINGS_SHOWN if name in said]
    sources = [
        f"* {name}: `{settings.get(name)}`, sha256 `{checksum}`"
        for name, checksum in summary.training.get("inputs", {}).items()
    ]
    data = ["### Training data", "", *(sources or ["Not recorded."])]
    procedure = ["### Training procedure", "", row("Setting", "Value"), row("---", "--:"), *rows]
    return "\n".join(["## Training details", "", *data, "", *procedure])


def claims_table(summary: Summary) -> str:
    """The paper's claims as a checklist."""
    rows = [row(f"The student {claim.text}", claim.measured, claim.verdict) for claim in claims(summary)]
    return "\n".join([row("Claim of the paper", "Measured", "Verdict"), row("---", "--:", "---"), *rows])


def bias_parts(summary: Summary) -> list[str]:
    """What the probes measured, where the student was probed."""
    parts = []
    if rows := [*pair_rows(summary), *lean_rows(summary)]:
        head = [row("Measure", "Student", "Teacher", "Ideal"), row("---", "--:", "--:", "--:")]
        parts.append("\n".join([*head, *(row(*cells) for cells in rows)]))
        parts.append(PROBE_NOTE)
    if sentence := inheritance(summary):
        parts.append(sentence)
    if people := people_rows(summary.student_probes):
        head = [row("Person", "The student's likeliest words"), row("---", "---")]
        parts.append("\n".join([*head, *(row(*cells) for cells in people)]))
    return parts


def glue_table(summary: Summary) -> str:
    """GLUE as one table, the card's numbers beside."""
    rows = [row("Task", "Metric", *GLUE_COLUMNS), row("---", "---", *("--:" for _ in GLUE_COLUMNS))]
    rows += [row(score.task.folder, metric_name(score), *score_values(score)) for score in summary.scores]
    if mean := summary.mean:
        rows.append(row("Mean", tasks_of(mean), *mean_values(mean)))
    return "\n".join([*rows, "", GLUE_NOTE])


def measures(summary: Summary) -> str:
    """Masked-LM metrics, size and speed of both models."""
    return "\n".join(
        [row("Measure", "Student", "Teacher"), row("---", "--:", "--:"), *(row(*r) for r in measured(summary))]
    )


def row(*cells: str) -> str:
    """A row of a Markdown table; what would end a cell is written so that it does not."""
    return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"


def sample_part(summary: Summary) -> str:
    """An input and the model's own output."""
    if not summary.predictions:
        return ""
    example = summary.predictions[0]
    request, reply = {"input_data": [example["input_string"]]}, [example["prediction"]]
    blocks = [f"```json\n{json.dumps(content, ensure_ascii=False)}\n```" for content in (request, reply)]
    return "\n\n".join(["## Sample input and output", *blocks])
