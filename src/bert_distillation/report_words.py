"""How the report and the model card write numbers and the result."""

from typing import Any

from bert_distillation.bootstrap import with_bounds
from bert_distillation.summary import Evaluation, Mean, Score, Summary

NOT_RUN, NO_NUMBER = "not run", "-"
GLUE_COLUMNS = ("Student", "Card", "Teacher", "BERT-base", "Kept")
GLUE_NOTE = (
    "Scores on the validation sets, times 100. Where GLUE has two metrics the score is their mean, as in the published "
    "table; MNLI is the matched set. Card: the model card of DistilBERT. BERT-base: the teacher's published scores. "
    "Kept: student as a share of teacher. After \u00b1 stands the standard deviation over seeds, where there were "
    "several. WNLI is outside the mean, as on the card. The published scores are of GLUE "
    "itself, so that only runs on its own files compare with them."
)
PARAMETERS = {"DistilBERT": 66_985_530, "BERT-base": 109_514_298}  # with their masked-LM heads
# (setting, value) -> what the step makes of it
SETTINGS = {
    ("num_layers", 0): "half the teacher's",
    ("hidden_size", 0): "the teacher's",
    ("layers", ""): "spaced evenly",
    ("max_train_steps", 0): "as many as the epochs have",
    ("dataloader_workers", -1): "2 with a GPU, else none",
}
# metric of `evaluate`, its name, its format
EVALUATION_ROWS = (
    ("mlm_loss", "Masked-LM loss (nats a token)", ".3f"),
    ("mlm_accuracy", "Masked-LM accuracy", ".1%"),
    ("mlm_top_k_accuracy", "Masked-LM accuracy, first {top_k:.0f} words", ".1%"),
    ("teacher_agreement", "The same likeliest word as the teacher", ".1%"),
    ("exact_match", "Test sentences: the masked word itself", ".1%"),
    ("top_k_accuracy", "Test sentences: among the first {top_k:.0f} words", ".1%"),
    ("mean_perplexity", "Test sentences: mean perplexity", ",.1f"),
    ("median_perplexity", "Test sentences: median perplexity", ",.1f"),
    ("num_parameters", "Parameters (millions)", ",.2f"),
    ("size_megabytes", "Size of the weights (MB)", ",.1f"),
    ("file_megabytes", "Size of their file (MB)", ",.1f"),
    ("megaflops_per_token", "Work for a token (MFLOP)", ",.1f"),
    ("tokens_per_second", "Throughput (tokens/s)", ",.0f"),
    ("latency_milliseconds", "Time of one short request (ms)", ",.1f"),
)


def percent(value: float | None, missing: str = NOT_RUN) -> str:
    """A share as GLUE's tables write it: 0.822 is 82.2."""
    return missing if value is None else f"{100 * value:.1f}"


def share(value: float | None) -> str:
    """A ratio as a percentage: 0.971 is 97.1%."""
    return NOT_RUN if value is None else f"{value:.1%}"


def metric_name(score: Score) -> str:
    """The metric behind a task's score."""
    return score.task.headline.replace("_", " ")


def score_values(score: Score) -> list[str]:
    """A task's row under `GLUE_COLUMNS`."""
    task = score.task
    published = (percent(task.published_student, NO_NUMBER), percent(task.published_teacher))
    student = percent(score.student) + spread(score.student_spread)
    teacher = percent(score.teacher) + spread(score.teacher_spread)
    return [student, published[0], teacher, published[1], kept(score)]


def kept(score: Score) -> str:
    """The student's share of the teacher; of a teacher that scored nothing there is none."""
    both_ran = score.student is not None and score.teacher is not None
    return NO_NUMBER if both_ran and score.retention is None else share(score.retention)


def spread(deviation: float | None) -> str:
    """What follows a score: the standard deviation over seeds, times 100, where there were several."""
    return "" if deviation is None else f" \u00b1 {100 * deviation:.1f}"


def mean_values(mean: Mean) -> list[str]:
    """The row of the means under `GLUE_COLUMNS`."""
    values = (mean.student, mean.card, mean.teacher, mean.published_teacher)
    return [*(percent(value) for value in values), share(mean.retention)]


def tasks_of(mean: Mean) -> str:
    """Over which tasks a mean is."""
    return "eight tasks" if len(mean.tasks) == 8 else f"{len(mean.tasks)} of the card's eight tasks"


def measured(summary: Summary) -> list[tuple[str, str, str]]:
    """(name, student, teacher) for each metric of `evaluate` that the student has."""
    student = summary.student
    teacher = (summary.teacher or {}) | {
        name: value for name, _, _ in EVALUATION_ROWS if (value := summary.teachers(name)) is not None
    }
    rows = []
    for name, label, form in EVALUATION_ROWS:
        if name in student:
            beside = written(teacher, name, form) if are_alike(student, teacher, name) else NO_NUMBER
            rows.append((label.format(top_k=student.get("top_k", 0)), written(student, name, form), beside))
    return rows


def are_alike(student: Evaluation, teacher: Evaluation, name: str) -> bool:
    """Whether both have measured the metric on the same: held-out text or test sentences, and as many words."""
    if name == "mlm_loss":
        return ("mlm_masked_tokens" in student) == ("mlm_masked_tokens" in teacher)
    return "top_k" not in name or student.get("top_k") == teacher.get("top_k")


def written(evaluation: Evaluation, name: str, form: str) -> str:
    """One metric in its format, with its interval where it has one; parameters are counted in millions."""
    if name not in evaluation:
        return NO_NUMBER if name == "teacher_agreement" else NOT_RUN
    return with_bounds(evaluation, name, form, 1e-6 if name == "num_parameters" else 1.0)


def caution(summary: Summary) -> str:
    """Why the published numbers are no measure of this run: a smaller model, or fewer rows; "" where they are one."""
    reasons = []
    for model, evaluation, published in (
        ("student", summary.student, PARAMETERS["DistilBERT"]),
        ("teacher", summary.teacher or {}, PARAMETERS["BERT-base"]),
    ):
        size = evaluation.get("num_parameters", published)
        if size < published / 2:
            name = "DistilBERT" if model == "student" else "BERT-base"
            reasons.append(f"the {model} has {size / 1e6:,.2f} million parameters ({name}: {published / 1e6:,.1f})")
    fewer = [score for score in summary.scores if score.train_rows and score.train_rows < score.task.train_rows / 2]
    if fewer:
        least = min(fewer, key=lambda score: (score.train_rows or 0) / score.task.train_rows)
        others = len(fewer) - 1
        more = f", and {others} more task{'s' if others > 1 else ''} likewise" if others else ""
        of_glue = f"{least.train_rows:,} of GLUE's {least.task.train_rows:,} rows"
        reasons.append(f"{least.task.folder} was learnt from {of_glue}{more}")
    if not reasons:
        return ""
    return (
        f"A small run: {'; '.join(reasons)}. It shows that the steps work; the published numbers are no measure of it."
    )


def settings_words(configuration: dict[str, Any]) -> dict[str, str]:
    """The settings of a training as a person says them, without the name of what was given as a folder."""
    return {
        name: SETTINGS.get((name, value), NO_NUMBER if value in (None, "") else str(value))
        for name, value in configuration.items()
        if configuration.get(name.removesuffix("_name")) is None or not name.endswith("_name")
    }


def lead(summary: Summary) -> str:
    """The result in one sentence: what the student keeps, at what size and speed, as far as it was measured."""
    parts = []
    if (mean := summary.mean) is not None:
        kept = f"keeps {share(mean.retention)} of the teacher's GLUE mean"
        parts.append(f"reaches a GLUE mean of {percent(mean.student)}" if mean.retention is None else kept)
    if (size := summary.student_to_teacher("num_parameters")) is not None:
        parts.append(f"has {size:.0%} of the teacher's parameters")
    if (speed := summary.student_to_teacher("tokens_per_second")) is not None:
        parts.append(f"reads {speed:.2g} times as many tokens a second")
    if not parts:
        parts.append(f"has {written(summary.student, 'num_parameters', ',.2f')} million parameters")
    *others, last = parts
    return f"The student {', '.join(others)}{' and ' if others else ''}{last}."
