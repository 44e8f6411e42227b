import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bert_distillation.claims import claims
from bert_distillation.figures import glue_bars, loss_curves, nice_ticks, thin
from bert_distillation.glue import CARD_TASKS, TASKS
from bert_distillation.model_card import row
from bert_distillation.report import ReportConfig, gather
from bert_distillation.report_words import lead
from bert_distillation.summary import Score, Summary
from small_results import STUDENT, TEACHER, evaluation, everything, finetuned, make_report, probed, write


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return everything(tmp_path)


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
    (inputs["student_evaluation"] / "mask_positions.json").unlink()
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
    figures = ("glue", "retention", "positions", "loss", "learning-rate", "tokens-per-second", "occupations")
    assert page.labelled_by == [f"{name}-{part}" for name in figures for part in ("title", "description")]
    assert set(page.labelled_by) <= set(page.ids)
    assert "MNLI: student 80.0, published 82.2; teacher 100.0, published 84.7." in text
    assert "MNLI: 80.0%, published 97.0%." in text
    assert "tokens 32 to 63: student 50.0, teacher 25.0." in text
    assert "nurse: student -2.00, teacher -1.00." in text
    assert "learning rate from 0.0001 to 0.0001." in text
    assert "total from 8.000 to 2.000; soft targets from 1.000 to 1.000; masked LM from 4.000 to 1.000." in text


def test_a_cell_of_the_model_card_cannot_end_its_row():
    assert row("a|b\nc", "d") == "| a\\|b c | d |"


def test_the_model_card_shows_settings_numbers_and_the_models_own_answer(inputs: dict[str, Path], tmp_path: Path):
    _, _, card = make_report(tmp_path / "report", **inputs)
    assert "The student keeps 80.0% of the teacher's GLUE mean, has 60% of the teacher's parameters and" in card
    assert "| temperature | 2.5 |" in card
    assert "| Masked-LM loss (nats a token) | 2.500 | 2.000 |" in card
    request, reply = (json.loads(block) for block in re.findall(r"```json\n(.*)\n```", card))
    assert (request, reply) == ({"input_data": ["A <b>[MASK]</b> & more."]}, ["word"])


def test_the_papers_claims_are_checked_against_what_was_measured(inputs: dict[str, Path], tmp_path: Path):
    page, _, card = make_report(tmp_path / "report", **inputs)
    kept = "80.0%, DistilBERT on the same tasks 96.0%"
    assert f"| The student keeps 97% of BERT's GLUE mean | {kept} | does not hold here |" in card
    fewer = "40.0% fewer parameters, DistilBERT with its head 38.8%"
    assert f"| The student is 40% smaller | {fewer} | holds here |" in card
    assert "| The student is 60% faster | 2.00 times the tokens a second in batches; the paper's is one " in card
    assert {"does not hold here", "holds here"} <= set(Page(page).cells)
    only = {"student_evaluation": inputs["student_evaluation"]}
    assert [claim.verdict for claim in claims(gather(ReportConfig(report=tmp_path / "alone", **only)))] == [
        "not run"
    ] * 3


def test_the_published_student_keeps_what_the_paper_claims(inputs: dict[str, Path], tmp_path: Path):
    for task in CARD_TASKS:
        finetuned(inputs[f"student_{task}"], task, TASKS[task].published_student)
        finetuned(inputs[f"teacher_{task}"], task, TASKS[task].published_teacher)
    evaluation(inputs["student_evaluation"], STUDENT | {"num_parameters": 66_985_530})
    evaluation(inputs["teacher_evaluation"], TEACHER | {"num_parameters": 109_514_298})
    found = claims(gather(ReportConfig(report=tmp_path / "report", **inputs)))
    assert [claim.verdict for claim in found] == ["holds here"] * 3
    finetuned(inputs["student_rte"], "rte", TASKS["rte"].published_student - 0.1)
    assert claims(gather(ReportConfig(report=tmp_path / "report", **inputs)))[0].verdict == "does not hold here"


def test_what_was_not_measured_on_the_same_is_not_put_side_by_side(inputs: dict[str, Path], tmp_path: Path):
    evaluation(inputs["student_evaluation"], STUDENT | {"mlm_masked_tokens": 9, "top_k_accuracy": 0.5})
    evaluation(inputs["teacher_evaluation"], TEACHER | {"top_k": 1, "top_k_accuracy": 0.25})
    card = make_report(tmp_path / "report", **inputs)[2]
    assert "| Masked-LM loss (nats a token) | 2.500 | - |" in card
    assert "| Test sentences: among the first 5 words | 50.0% | - |" in card


def test_the_speed_of_one_run_wins_over_that_of_two(inputs: dict[str, Path], tmp_path: Path):
    evaluation(inputs["student_evaluation"], STUDENT | {"teacher_tokens_per_second": 500.0, "teacher_agreement": 0.75})
    _, metrics, card = make_report(tmp_path / "report", **inputs)
    assert metrics["student_to_teacher"]["tokens_per_second"] == 4.0
    assert "| Throughput (tokens/s) | 2,000 | 500 |" in card
    assert "| The same likeliest word as the teacher | 75.0% | - |" in card


def test_seeds_and_intervals_are_shown(inputs: dict[str, Path], tmp_path: Path):
    record = {"task": "cola", "metrics": {"matthews_correlation": 0.5}, "deviations": {"matthews_correlation": 0.0123}}
    write(inputs["student_cola"] / "metrics.json", record | {"seeds": [{}, {}, {}]})
    evaluation(inputs["student_evaluation"], STUDENT | {"mlm_loss_low": 2.4, "mlm_loss_high": 2.61})
    _, metrics, card = make_report(tmp_path / "report", **inputs)
    assert "| CoLA | matthews correlation | 50.0 \u00b1 1.2 | 51.3 | 100.0 |" in card
    assert (metrics["glue"]["cola"]["student_deviation"], metrics["glue"]["cola"]["seeds"]) == (0.0123, 3)
    assert "| Masked-LM loss (nats a token) | 2.500 (2.400 to 2.610) | 2.000 |" in card


def test_the_report_says_whether_the_student_inherits_its_teachers_leanings(inputs: dict[str, Path], tmp_path: Path):
    page, metrics, card = make_report(tmp_path / "report", **inputs)
    sentence = "with a correlation of 1.00, and its leanings differ 2.00 times as much: distillation amplified them."
    assert sentence in page
    assert sentence in card
    assert metrics["lean_correlation"] == pytest.approx(1.0)
    assert "| Stereotype preferred (CrowS-Pairs) | 60.0% (50.0% to 70.0%) | 60.0% (50.0% to 70.0%) | 50% |" in card
    assert "| man | <b>, king |" in card
    assert "<b>, king" in Page(page).cells
    for times, verdict in ((1.0, "kept"), (0.5, "weakened")):
        probed(inputs["student_probes"], times)
        assert f"distillation {verdict} them." in make_report(tmp_path / verdict, **inputs)[0]
    del inputs["teacher_probes"]
    assert "distillation kept" not in make_report(tmp_path / "alone", **inputs)[0]


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
