"""The nine GLUE tasks as one table: where their files lie, what is in them, how they are scored, what is published.

Which number a published table gives where GLUE scores with two metrics: the mean of the two, as GLUE itself does. The
DistilBERT paper does not say so, but its ELMo row (QQP 86.2, MRPC 76.6, STS-B 70.4) is the mean of the pairs that the
GLUE paper gives for the same model (88.0 and 84.3, 70.8 and 82.3, 70.3 and 70.5). MNLI's number is the matched set's.
"""

from dataclasses import dataclass, field

DEV = {"validation": "dev.tsv"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task. Published figures are shares (0.822 for the card's 82.2); None where the card has no number."""

    name: str
    folder: str  # the task's folder in GLUE's own layout, and its name for people
    columns: tuple[str, ...]  # the text columns of the TSV: one sentence or two
    hub_columns: tuple[str, ...]  # the same columns in `nyu-mll/glue`
    label_column: str
    labels: tuple[str, ...]  # names of the classes in the order of the hub's ids; none where the task is a score
    file_labels: tuple[str, ...]  # how the TSV writes those classes
    metrics: tuple[str, ...]
    published_teacher: float  # BERT-base, from the README of the original distillation code
    published_student: float | None  # DistilBERT, from the card
    train_rows: int  # in GLUE itself
    header: tuple[str, ...] | None = None  # column names of a TSV that has no header line
    validation: dict[str, str] = field(default_factory=lambda: DEV)  # the hub's split -> the TSV's name
    score_range: tuple[float, float] | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the task predicts a score instead of a class."""
        return self.score_range is not None

    @property
    def headline(self) -> str:
        """The name of the metric that stands for the task in the card's table."""
        if len(self.validation) > 1:
            return metric_of_split(self.metrics[0], next(iter(self.validation)))
        return self.metrics[0] if len(self.metrics) == 1 else f"mean_of_{'_and_'.join(self.metrics)}"


def metric_of_split(metric: str, split: str) -> str:
    """The metric's name where a task has several validation splits: accuracy_matched, accuracy_mismatched."""
    return f"{metric}{split.removeprefix('validation')}"


ZERO_ONE = ("0", "1")
SENTENCE = ("sentence",)
SENTENCES = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "not_entailment")

_ALL = (
    Task(
        name="mnli",
        folder="MNLI",
        columns=SENTENCES,
        hub_columns=("premise", "hypothesis"),
        label_column="gold_label",
        labels=("entailment", "neutral", "contradiction"),
        file_labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        published_teacher=0.847,
        published_student=0.822,
        train_rows=392_702,
        validation={"validation_matched": "dev_matched.tsv", "validation_mismatched": "dev_mismatched.tsv"},
    ),
    Task(
        name="qqp",
        folder="QQP",
        columns=("question1", "question2"),
        hub_columns=("question1", "question2"),
        label_column="is_duplicate",
        labels=("not_duplicate", "duplicate"),
        file_labels=ZERO_ONE,
        metrics=("f1", "accuracy"),
        published_teacher=0.896,
        published_student=0.885,
        train_rows=363_846,
    ),
    Task(
        name="qnli",
        folder="QNLI",
        columns=("question", "sentence"),
        hub_columns=("question", "sentence"),
        label_column="label",
        labels=ENTAILMENT,
        file_labels=ENTAILMENT,
        metrics=("accuracy",),
        published_teacher=0.918,
        published_student=0.892,
        train_rows=104_743,
    ),
    Task(
        name="sst2",
        folder="SST-2",
        columns=SENTENCE,
        hub_columns=SENTENCE,
        label_column="label",
        labels=("negative", "positive"),
        file_labels=ZERO_ONE,
        metrics=("accuracy",),
        published_teacher=0.927,
        published_student=0.913,
        train_rows=67_349,
    ),
    Task(
        name="cola",
        folder="CoLA",
        columns=SENTENCE,
        hub_columns=SENTENCE,
        label_column="label",
        labels=("unacceptable", "acceptable"),
        file_labels=ZERO_ONE,
        metrics=("matthews_correlation",),
        published_teacher=0.563,
        published_student=0.513,
        train_rows=8_551,
        header=("source", "label", "mark", "sentence"),
    ),
    Task(
        name="stsb",
        folder="STS-B",
        columns=SENTENCES,
        hub_columns=SENTENCES,
        label_column="score",
        labels=(),
        file_labels=(),
        metrics=("pearson", "spearman"),
        published_teacher=0.890,
        published_student=0.858,
        train_rows=5_749,
        score_range=(0.0, 5.0),
    ),
    Task(
        name="mrpc",
        folder="MRPC",
        columns=("#1 String", "#2 String"),
        hub_columns=SENTENCES,
        label_column="Quality",
        labels=("not_equivalent", "equivalent"),
        file_labels=ZERO_ONE,
        metrics=("f1", "accuracy"),
        published_teacher=0.886,
        published_student=0.875,
        train_rows=3_668,
    ),
    Task(
        name="rte",
        folder="RTE",
        columns=SENTENCES,
        hub_columns=SENTENCES,
        label_column="label",
        labels=ENTAILMENT,
        file_labels=ENTAILMENT,
        metrics=("accuracy",),
        published_teacher=0.693,
        published_student=0.599,
        train_rows=2_490,
    ),
    Task(
        name="wnli",
        folder="WNLI",
        columns=SENTENCES,
        hub_columns=SENTENCES,
        label_column="label",
        labels=("not_entailment", "entailment"),
        file_labels=ZERO_ONE,
        metrics=("accuracy",),
        published_teacher=0.535,
        published_student=None,
        train_rows=635,
    ),
)

TASKS = {task.name: task for task in _ALL}
TASK_NAMES = tuple(TASKS)
# The eight of the card, in its order; WNLI stays outside every mean.
CARD_TASKS = tuple(task.name for task in _ALL if task.published_student is not None)
