import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bert_distillation.errors import InputError
from bert_distillation.figures import glue_bars, loss_curves, nice_ticks, thin
from bert_distillation.glue import CARD_TASKS, TASKS
from bert_distillation.report import ReportConfig, report
from bert_distillation.report_words import lead
from bert_distillation.summary import Score, Summary

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


def finetuned(folder: Path, task: str, value: float) -> Path:
    headline = TASKS[task].headline
    write(folder / "metrics.json", {"task": task, "headline": headline, "metrics": {headline: value}})
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """Everything a report can be given: the student has 0.8 of each task, the teacher 1.0."""
    student = evaluation(tmp_path / "student_evaluation", STUDENT)
    lines = "".join(json.dumps(row) + "\n" for row in PREDICTIONS)
    (student / "predictions.jsonl").write_text(lines)
    given = {"student_evaluation": student, "teacher_evaluation": evaluation(tmp_path / "teacher", TEACHER)}
    for model, value in (("student", 0.8), ("teacher", 1.0)):
        given |= {f"{model}_{task}": finetuned(tmp_path / f"{model}_{task}", task, value) for task in TASKS}
    write(tmp_path / "student" / "step.json", {"configuration": {"temperature": 2.5}, "versions": {"torch": "2.x"}})
    rows = [{"step": step, "loss": 8.0 / step, "loss_ce": 1.0, "loss_mlm": 4.0 / step} for step in (1, 2, 4)]
    (tmp_path / "student" / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return given | {"student": tmp_path / "student"}


def make_report(folder: Path, **inputs: Path) -> tuple[str, dict, str]:
    report(ReportConfig(report=folder, **inputs))
    page, card = (folder / "report.html").read_text(), (folder / "model_card.md").read_text()
    return page, json.loads((folder / "metrics.json").read_text()), card


def test_the_numbers_are_the_means_and_shares_of_the_cards_eight_tasks(inputs: dict[str, Path], tmp_path: Path):
    finetuned(inputs["student_wnli"], "wnli", 0.1)  # outside the mean
    _, metrics, _ = make_report(tmp_path / "report", **inputs)
    mean = metrics["glue_mean"]
    assert mean["tasks"] == list(CARD_TASKS)
    assert (mean["student"], mean["teacher"], mean["retention"]) == pytest.approx((0.8, 1.0, 0.8))
    assert round(100 * mean["card"], 2) == 79.46
    assert round(100 * mean["published_teacher"], 2) == 82.75
    assert metrics["glue"]["wnli"]["retention"] == pytest.approx(0.1)
    shares = metrics["student_to_teacher"]
    assert (shares["num_parameters"], shares["tokens_per_second"]) == (0.6, 2.0)
    assert shares["latency_milliseconds"] is None


def test_without_a_teacher_its_numbers_are_shown_as_not_run(inputs: dict[str, Path], tmp_path: Path):
    given = {name: inputs[name] for name in ("student_evaluation", "student_cola", "student_rte")}
    page, metrics, card = make_report(tmp_path / "report", **given)
    assert metrics["teacher"] is None
    assert metrics["glue_mean"]["tasks"] == ["cola", "rte"]
    assert metrics["glue_mean"]["card"] == pytest.approx((0.513 + 0.599) / 2)
    assert metrics["glue_mean"]["retention"] is None
    assert metrics["glue"]["mnli"]["student"] is None
    assert "The student reaches a GLUE mean of 80.0." in page
    assert "| MNLI | accuracy matched | not run | 82.2 | not run | 84.7 | not run |" in card
    assert "Training loss" not in page


def test_a_teacher_that_ran_fewer_tasks_has_no_mean(inputs: dict[str, Path], tmp_path: Path):
    del inputs["teacher_qnli"]
    _, metrics, _ = make_report(tmp_path / "report", **inputs)
    assert metrics["glue_mean"]["teacher"] is None


def test_without_any_task_there_is_no_mean_and_no_figure(inputs: dict[str, Path], tmp_path: Path):
    page, metrics, _ = make_report(tmp_path / "report", student_evaluation=inputs["student_evaluation"])
    assert metrics["glue_mean"] is None
    assert "<svg" not in page


class Page(HTMLParser):
    """Collects what a page refers to, its tags that stay open, and the text of its cells."""

    VOID = {"meta", "link", "br"}

    def __init__(self, text: str):
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.labelled_by: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.references += [values[name] or "" for name in ("src", "href", "xlink:href") if name in values]
        self.ids += [values["id"] or ""] if "id" in values else []
        self.labelled_by += (values.get("aria-labelledby") or "").split() if tag == "svg" else []
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_the_page_is_whole_and_asks_no_other_host_for_anything(inputs: dict[str, Path], tmp_path: Path):
    text, _, _ = make_report(tmp_path / "report", **inputs)
    page = Page(text)
    assert page.open == []
    assert page.references == ["data:,"]
    assert not re.search(r"https?://|@import|url\(|<script", text)


def test_texts_of_the_data_are_shown_as_text(inputs: dict[str, Path], tmp_path: Path):
    page = Page(make_report(tmp_path / "report", **inputs)[0])
    assert "A <b>[MASK]</b> & more." in page.cells
    assert "word 75%, </td> 12%" in page.cells


def test_each_figure_has_a_text_alternative_with_its_numbers(inputs: dict[str, Path], tmp_path: Path):
    text = make_report(tmp_path / "report", **inputs)[0]
    page = Page(text)
    assert len(page.labelled_by) == 4, "a title and a description for the bars and for the curves"
    assert set(page.labelled_by) <= set(page.ids)
    assert "MNLI: student 80.0, published 82.2; teacher 100.0, published 84.7." in text
    assert "total from 8.000 to 2.000; soft targets from 1.000 to 1.000; masked LM from 4.000 to 1.000." in text


def test_the_model_card_shows_settings_numbers_and_the_models_own_answer(inputs: dict[str, Path], tmp_path: Path):
    _, _, card = make_report(tmp_path / "report", **inputs)
    assert "The student keeps 80.0% of the teacher's GLUE mean, has 60% of the teacher's parameters and" in card
    assert "| temperature | 2.5 |" in card
    assert "| Masked-LM loss (nats a token) | 2.500 | 2.000 |" in card
    request, reply = (json.loads(block) for block in re.findall(r"```json\n(.*)\n```", card))
    assert (request, reply) == ({"input_data": ["A <b>[MASK]</b> & more."]}, ["word"])


def test_metrics_go_to_mlflow_by_model_and_task(inputs: dict[str, Path], tmp_path: Path, monkeypatch):
    logged: dict[str, float] = {}
    monkeypatch.setattr("bert_distillation.report.log_metrics", logged.update)
    make_report(tmp_path / "report", **inputs)
    assert logged["student_mnli"] == 0.8
    assert logged["retention_glue_mean"] == pytest.approx(0.8)
    assert logged["teacher_mlm_loss"] == 2.0
    assert all(isinstance(value, float) and math.isfinite(value) for value in logged.values())


def test_bars_start_at_zero_and_are_as_long_as_their_scores():
    svg = glue_bars([Score(TASKS["cola"], -0.2, 0.5), Score(TASKS["rte"], 1.0, None)])
    widths = re.findall(r'<rect class="(\w+)" .*?width="([\d.]+)%"', svg)
    assert widths == [("student", "0.00"), ("teacher", "43.00"), ("student", "86.00"), ("teacher", "0.00")]
    assert '<line class="mark" x1="44.12%"' in svg, "the card's 51.3 of CoLA"


def test_a_curve_spans_its_box_from_first_to_last_step():
    svg = loss_curves([{"step": 10, "loss": 4.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": 0.0}])
    assert 'points="0.00,0.00 50.00,50.00 100.00,100.00"' in svg


@pytest.mark.parametrize(("low", "high"), [(0, 33.2), (0, 0.004), (-1.5, 2), (0, 0), (0, 5), (0, 99999)])
def test_ticks_are_few_and_span_the_values(low: float, high: float):
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert ticks == sorted(set(ticks))


def test_a_long_log_is_thinned_and_keeps_its_end():
    rows = thin([{"step": float(step)} for step in range(1003)])
    assert len(rows) <= 400
    assert rows[-1]["step"] == 1002


def test_the_lead_says_only_what_was_measured():
    scores = tuple(Score(task, None, None) for task in TASKS.values())
    assert lead(Summary(scores, {"num_parameters": 66_990_000}, None)) == "The student has 66.99 million parameters."
    assert lead(Summary(scores, STUDENT, TEACHER)) == (
        "The student has 60% of the teacher's parameters and reads 2 times as many tokens a second."
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no .*; give a folder that `finetune --task cola` wrote"),
        ('{"task": "rte"}', "holds metrics of rte; give those of cola"),
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
    ],
)
def test_an_input_that_is_not_what_it_should_be_is_named(
    content: str | None, reason: str, inputs: dict[str, Path], tmp_path: Path
):
    folder = tmp_path / "wrong"
    folder.mkdir()
    if content is not None:
        (folder / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=f"student_cola: .*{reason}"):
        make_report(tmp_path / "report", **(inputs | {"student_cola": folder}))


METRICS = "student_evaluation/evaluationResult/metrics.json"
COLA = "student_cola/metrics.json"
ANSWER = {"input_string": "[MASK]", "title": "a", "prediction": "a", "candidates": [{"token": "a", "score": 0.5}]}
BROKEN_FILES = [
    (METRICS, "{}", "has no num_parameters"),
    (METRICS, '{"num_parameters": "6"}', 'num_parameters is "6" instead of a finite number'),
    (METRICS, '{"num_parameters": null}', "num_parameters is null instead of a finite number"),
    (METRICS, '{"num_parameters": 6, "mlm_loss": NaN}', "mlm_loss is NaN instead of a finite number"),
    (METRICS, '{"num_parameters": 6, "top_k": {"a": 1}}', 'top_k is {"a": 1} instead of a finite number'),
    (METRICS, f'{{"num_parameters": 1{"0" * 400}}}', r"num_parameters is 10+\.\.\. instead of a finite number"),
    (METRICS, "[" * 100_000, "is not JSON"),
    (COLA, '{"task": "cola"}', "metrics is null instead of an object"),
    (COLA, '{"task": "cola", "metrics": [1]}', r"metrics is \[1\] instead of an object"),
    (COLA, '{"task": "cola", "metrics": {"accuracy": 1}}', "has no matthews_correlation"),
    (COLA, '{"task": "cola", "metrics": {"matthews_correlation": true}}', "is true instead of a finite number"),
    ("student_evaluation/predictions.jsonl", "{", ":1 is not JSON"),
    ("student_evaluation/predictions.jsonl", "[]", ":1 holds no JSON object"),
    ("student_evaluation/predictions.jsonl", '{"title": "a"}', ":1 is not a row that `evaluate` writes"),
    ("student_evaluation/predictions.jsonl", json.dumps(ANSWER | {"candidates": ["a"]}), ":1 is not a row"),
    ("student_evaluation/predictions.jsonl", json.dumps(ANSWER | {"title": "\ud800"}), ":1 is not JSON"),
    ("student/training_log.jsonl", '{"step": 1, "loss": 2}\n{"step": 2', ":2 is not JSON"),
    ("student/training_log.jsonl", '{"step": 1, "loss": "low"}', ":1 is not a row that `distill` writes"),
    ("student/training_log.jsonl", '{"step": 1, "loss": 2, "loss_ce": 1}\n{"step": 2, "loss": 2}', "2 has no loss_ce"),
    ("student/step.json", "[]", "holds no JSON object"),
    ("student/step.json", '{"configuration": [], "versions": {}}', r"configuration is \[\] instead of an object"),
    ("student/step.json", '{"configuration": {}}', "versions is null instead of an object"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN_FILES, ids=[row[2] for row in BROKEN_FILES])
def test_a_result_file_that_no_step_writes_is_named_with_what_is_wrong(
    name: str, content: str, reason: str, inputs: dict[str, Path], tmp_path: Path
):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name.split('/')[0]}: .*{Path(name).name}.*{reason}.*; run `.*` again"):
        make_report(tmp_path / "report", **inputs)
    assert not (tmp_path / "report").exists()
