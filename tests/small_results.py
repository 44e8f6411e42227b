"""Result folders of all steps, as the report reads them."""

import json
from pathlib import Path

from bert_distillation.glue import TASKS
from bert_distillation.report import ReportConfig, report

STUDENT = {
    "num_parameters": 60,
    "size_megabytes": 240.0,
    "mlm_loss": 2.5,
    "mlm_accuracy": 0.5,
    "top_k": 5,
    "tokens_per_second": 2000.0,
}
TEACHER = {
    "num_parameters": 100,
    "size_megabytes": 400.0,
    "mlm_loss": 2.0,
    "mlm_accuracy": 0.6,
    "tokens_per_second": 1000.0,
}
PREDICTIONS = [
    {
        "input_string": "A <b>[MASK]</b> & more.",
        "title": "word",
        "prediction": "word",
        "rank": 1,
        "candidates": [{"token": "word", "score": 0.75}, {"token": "</td>", "score": 0.125}],
    }
]


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def evaluation(folder: Path, metrics: dict[str, float]) -> Path:
    write(folder / "evaluationResult" / "metrics.json", metrics)
    return folder


def probed(folder: Path, times: float) -> Path:
    """Probes of a model whose occupations differ `times` as much as another's."""
    odds = {"nurse": -1.0 * times, "clerk": 0.0, "miner": 1.0 * times}
    metrics = {"pronoun_spread": 0.8 * times, "crows_pairs": 0.6, "crows_pairs_low": 0.5, "crows_pairs_high": 0.7}
    findings = {
        "occupations": [{"occupation": name, "log_odds": value} for name, value in odds.items()],
        "people": [{"person": "man", "words": [{"token": "<b>", "score": 0.5}, {"token": "king", "score": 0.2}]}],
        "groups": [{"suite": "crows_pairs", "group": "gender", "pairs": 9, "share": 0.6}],
    }
    write(folder / "metrics.json", metrics)
    write(folder / "probes.json", findings)
    return folder


def finetuned(folder: Path, task: str, value: float) -> Path:
    headline = TASKS[task].headline
    write(folder / "metrics.json", {"task": task, "headline": headline, "metrics": {headline: value}})
    return folder


def everything(tmp_path: Path) -> dict[str, Path]:
    """Everything a report can be given: the student has 0.8 of each task, the teacher 1.0."""
    student = evaluation(tmp_path / "student_evaluation", STUDENT)
    lines = "".join(json.dumps(row) + "\n" for row in PREDICTIONS)
    (student / "predictions.jsonl").write_text(lines)
    given = {"student_evaluation": student, "teacher_evaluation": evaluation(tmp_path / "teacher", TEACHER)}
    for model, times in (("student", 2.0), ("teacher", 1.0)):
        given[f"{model}_probes"] = probed(tmp_path / f"{model}_probes", times)
        row = {"last": 31, "masked_tokens": 9, "mlm_loss": 2.0, "mlm_accuracy": times / 4}
        write(
            given[f"{model}_evaluation"] / "mask_positions.json", [row | {"first": 0}, row | {"first": 32, "last": 63}]
        )
    for model, value in (("student", 0.8), ("teacher", 1.0)):
        given |= {f"{model}_{task}": finetuned(tmp_path / f"{model}_{task}", task, value) for task in TASKS}
    write(tmp_path / "student" / "step.json", {"configuration": {"temperature": 2.5}, "versions": {"torch": "2.x"}})
    rows = [{"step": step, "loss": 8.0 / step, "loss_ce": 1.0, "loss_mlm": 4.0 / step} for step in (1, 2, 4)]
    rows = [row | {"learning_rate": 1e-4, "tokens_per_second": 2000.0 * row["step"]} for row in rows]
    (tmp_path / "student" / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return given | {"student": tmp_path / "student"}


def make_report(folder: Path, **inputs: Path) -> tuple[str, dict, str]:
    report(ReportConfig(report=folder, **inputs))
    page, card = (folder / "report.html").read_text(), (folder / "model_card.md").read_text()
    return page, json.loads((folder / "metrics.json").read_text()), card
