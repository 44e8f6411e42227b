"""GLUE tasks of a few rows, in GLUE's own layout."""

from pathlib import Path

from bert_distillation.glue import Task

HEADERS = {
    "mnli": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse "
    "sentence2_parse sentence1 sentence2 label1 gold_label",
    "qqp": "id qid1 qid2 question1 question2 is_duplicate",
    "qnli": "index question sentence label",
    "sst2": "sentence label",
    "cola": "source label mark sentence",
    "stsb": "index genre filename year old_index source1 source2 sentence1 sentence2 score",
    "mrpc": "Quality|#1 ID|#2 ID|#1 String|#2 String",
    "rte": "index sentence1 sentence2 label",
    "wnli": "index sentence1 sentence2 label",
}
SUBJECTS = ("cat", "dog", "bird", "fish", "man", "woman", "child")


def header(task: Task) -> list[str]:
    """The columns of the task's files, in order."""
    text = HEADERS[task.name]
    return text.split("|") if "|" in text else text.split()


def sentence(number: int, label: int) -> str:
    """A sentence whose verb tells the label."""
    return f"the {SUBJECTS[number % len(SUBJECTS)]} {('sleeps', 'swims', 'eats')[label]} in the house ."


def example(task: Task, number: int) -> tuple[list[str], str]:
    """The texts and the label, as the file writes it, of a row; the classes (or scores) take turns."""
    label = number % max(len(task.labels), 2)
    texts = [sentence(number, label), f"row {number}"][: len(task.columns)]
    return texts, str(5.0 * label) if task.is_regression else task.file_labels[label]


def line(task: Task, number: int) -> str:
    """A row of the task's TSV."""
    texts, label = example(task, number)
    cells = dict.fromkeys(header(task), "-") | dict(zip(task.columns, texts, strict=True)) | {task.label_column: label}
    return "\t".join(cells.values())


def write_split(task: Task, path: Path, rows: int, start: int = 0) -> Path:
    """A file of the task; MRPC begins with a byte-order mark and CoLA has no header, as in GLUE."""
    lines = [] if task.name == "cola" else ["\t".join(header(task))]
    lines += [line(task, number) for number in range(start, start + rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig" if task.name == "mrpc" else "utf-8")
    return path


def write_task(task: Task, folder: Path, train_rows: int = 8, dev_rows: int = 6) -> Path:
    """`folder/<TASK>` with its training and validation files; validation sets differ in their rows."""
    write_split(task, folder / task.folder / "train.tsv", train_rows)
    for index, file in enumerate(task.validation.values(), start=1):
        write_split(task, folder / task.folder / file, dev_rows, start=100 * index)
    return folder
