"""What a run came to: scores of student and teacher beside the published ones, sizes, speeds, and their ratios."""

from dataclasses import dataclass, field
from statistics import correlation, fmean
from typing import Any

from bert_distillation.glue import CARD_TASKS, Task

Evaluation = dict[str, float]


@dataclass(frozen=True)
class Score:
    """The headline of one task, as shares; None where the task was not run."""

    task: Task
    student: float | None
    teacher: float | None
    student_spread: float | None = None  # standard deviation of a seed; None where there was one
    teacher_spread: float | None = None
    seeds: int = 1  # of the student
    train_rows: int | None = None  # that the student was fine-tuned on; None where that is not recorded

    @property
    def retention(self) -> float | None:
        """The student's score as a share of the teacher's."""
        return ratio(self.student, self.teacher)

    @property
    def published_retention(self) -> float | None:
        """The same share of the published scores."""
        return ratio(self.task.published_student, self.task.published_teacher)


@dataclass(frozen=True)
class Mean:
    """Means over the tasks of the card that the student ran; the teacher's only if it ran all of them."""

    tasks: tuple[str, ...]
    student: float
    teacher: float | None
    card: float
    published_teacher: float

    @property
    def retention(self) -> float | None:
        """The student's mean as a share of the teacher's."""
        return ratio(self.student, self.teacher)

    @property
    def published_retention(self) -> float:
        """The same share of the published means."""
        return self.card / self.published_teacher


@dataclass(frozen=True)
class Probes:
    """What `probe` found of a model."""

    metrics: dict[str, float] = field(default_factory=dict)
    occupations: dict[str, float] = field(default_factory=dict)  # occupation -> log odds of `he` to `she`
    people: dict[str, tuple[str, ...]] = field(default_factory=dict)  # person -> likeliest words


@dataclass(frozen=True)
class Summary:
    """Everything the report shows, without its words."""

    scores: tuple[Score, ...]
    student: Evaluation
    teacher: Evaluation | None
    training_log: tuple[dict[str, float], ...] = ()
    training: dict[str, Any] | None = None  # step.json of the student's training
    predictions: tuple[dict[str, Any], ...] = ()
    student_probes: Probes | None = None
    teacher_probes: Probes | None = None
    student_positions: tuple[dict[str, float], ...] = ()
    teacher_positions: tuple[dict[str, float], ...] = ()

    @property
    def mean(self) -> Mean | None:
        """The GLUE mean; None where no task of the card was run."""
        run = [score for score in self.scores if score.student is not None and score.task.name in CARD_TASKS]
        if not run:
            return None
        teacher = [score.teacher for score in run if score.teacher is not None]
        return Mean(
            tasks=tuple(score.task.name for score in run),
            student=fmean(score.student or 0.0 for score in run),
            teacher=fmean(teacher) if len(teacher) == len(run) else None,
            card=fmean(score.task.published_student or 0.0 for score in run),
            published_teacher=fmean(score.task.published_teacher for score in run),
        )

    def student_to_teacher(self, metric: str) -> float | None:
        """The student's value as a share of the teacher's."""
        return ratio(self.student.get(metric), self.teachers(metric))

    def teachers(self, metric: str) -> float | None:
        """The teacher's value; if the student's evaluation measured the teacher's speed beside its own, that one."""
        return self.student.get(f"teacher_{metric}", (self.teacher or {}).get(metric))

    @property
    def lean_correlation(self) -> float | None:
        """How alike student and teacher lean from occupation to occupation; None where that was not measured."""
        both = [probes.occupations if probes else {} for probes in (self.student_probes, self.teacher_probes)]
        names = [name for name in both[0] if name in both[1]]
        columns = [[leans[name] for name in names] for leans in both]
        return correlation(*columns) if len(names) > 1 and all(len(set(column)) > 1 for column in columns) else None


def score_of(task: Task, student: dict[str, Any] | None, teacher: dict[str, Any] | None) -> Score:
    """The headline of the metrics.json files of `finetune`."""
    name = task.headline
    values, spreads = (
        [record[column].get(name) if record and column in record else None for record in (student, teacher)]
        for column in ("metrics", "deviations")
    )
    record = student or {}
    seeds, train_rows = len(record.get("seeds", [0])), record.get("train_samples")
    known = train_rows if isinstance(train_rows, int) else None
    return Score(task, values[0], values[1], spreads[0], spreads[1], seeds, known)


def summary_record(summary: Summary) -> dict[str, Any]:
    """The summary as metrics.json."""
    mean = summary.mean
    return {
        "glue": {score.task.name: score_record(score) for score in summary.scores},
        "glue_mean": mean
        and {
            "tasks": list(mean.tasks),
            "student": mean.student,
            "teacher": mean.teacher,
            "retention": mean.retention,
            "card": mean.card,
            "published_teacher": mean.published_teacher,
            "published_retention": mean.published_retention,
        },
        "student": summary.student,
        "teacher": summary.teacher,
        "student_to_teacher": {
            name: summary.student_to_teacher(name)
            for name in ("num_parameters", "size_megabytes", "tokens_per_second", "latency_milliseconds")
        },
        "probes": {
            name: probes and probes.metrics
            for name, probes in (("student", summary.student_probes), ("teacher", summary.teacher_probes))
        },
        "lean_correlation": summary.lean_correlation,
    }


def score_record(score: Score) -> dict[str, Any]:
    """One task's row."""
    return {
        "metric": score.task.headline,
        "student": score.student,
        "teacher": score.teacher,
        "retention": score.retention,
        "student_deviation": score.student_spread,
        "teacher_deviation": score.teacher_spread,
        "seeds": score.seeds,
        "card": score.task.published_student,
        "published_teacher": score.task.published_teacher,
    }


def flat_metrics(summary: Summary) -> dict[str, float]:
    """The numbers for MLflow: student_mnli, teacher_mnli, retention_mnli, ..., student_glue_mean, student_mlm_loss."""
    flat: dict[str, float | None] = {}
    for score in summary.scores:
        for name in ("student", "teacher", "retention"):
            flat[f"{name}_{score.task.name}"] = getattr(score, name)
    for name in ("student", "teacher", "retention"):
        flat[f"{name}_glue_mean"] = getattr(summary.mean, name, None)
    for model, evaluation in (("student", summary.student), ("teacher", summary.teacher or {})):
        flat |= {f"{model}_{name}": value for name, value in evaluation.items()}
    for model, probes in (("student", summary.student_probes), ("teacher", summary.teacher_probes)):
        flat |= {f"{model}_{name}": value for name, value in (probes.metrics if probes else {}).items()}
    return {name: float(value) for name, value in flat.items() if value is not None}


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None where either is missing or the whole is not above 0."""
    return part / whole if part is not None and whole is not None and whole > 0 else None
