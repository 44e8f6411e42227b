import json
from pathlib import Path

import pytest
from results import comparison_of, tables, write_page

from bert_distillation.compare import CompareConfig, compare
from bert_distillation.comparison import VARIANTS, compare_reports, flat_metrics
from bert_distillation.errors import InputError
from bert_distillation.glue import TASKS
from bert_distillation.summary import Summary, score_of, summary_record

SCORES = {"rte": 0.6, "cola": 0.4}
DEVIATIONS = {"rte": 0.03, "cola": 0.04}


def write_report(folder: Path, lower: float = 0.0, tasks: dict[str, float] = SCORES, loss: float = 4.0) -> Path:
    """A report of a model whose scores are so much lower."""
    scores = []
    for name, value in tasks.items():
        headline = TASKS[name].headline
        record = {
            "metrics": {headline: value - lower},
            "deviations": {headline: DEVIATIONS.get(name, 0.0)},
            "seeds": [0, 1, 2],
        }
        scores.append(score_of(TASKS[name], record, None))
    scores += [score_of(task, None, None) for name, task in TASKS.items() if name not in tasks]
    evaluation = {"mlm_loss": loss, "mlm_loss_low": loss - 0.1, "mlm_loss_high": loss + 0.1, "num_parameters": 2e6}
    evaluation["mlm_masked_tokens"] = 100
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(summary_record(Summary(tuple(scores), evaluation, None))))
    return folder


@pytest.fixture
def reports(tmp_path: Path) -> dict[str, Path]:
    lower = {"teacher": -0.1, "all_losses": 0.0, "without_ce": 0.05, "without_teacher": 0.2}
    return {variant: write_report(tmp_path / variant, amount, loss=4 + amount) for variant, amount in lower.items()}


def test_means_deviations_differences_and_what_is_kept(reports: dict[str, Path]):
    found = compare_reports(reports)
    whole, without = found.row("all_losses"), found.row("without_ce")
    assert whole.mean.value == pytest.approx(0.5)
    assert whole.mean.deviation == pytest.approx(0.05 / 2), "of two tasks with 0.03 and 0.04"
    assert found.points(without).points == pytest.approx(-5.0)
    assert found.points(without).error == pytest.approx(2**0.5 * 2.5 / 3**0.5), "of means of three seeds"
    assert found.kept(whole) == pytest.approx(0.5 / 0.6)
    assert found.seeds == 3


def test_the_page_the_json_and_the_metrics_say_the_same(
    reports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    logged: dict[str, float] = {}
    monkeypatch.setattr("bert_distillation.compare.log_metrics", logged.update)
    compare(CompareConfig(**reports, comparison=tmp_path / "comparison"))
    page = (tmp_path / "comparison" / "comparison.html").read_text()
    for text in ("keeps 83.3% of its teacher", "4.000 and 4.200 nats", "without soft targets", "-5.0 +- 2.0", "-2.96"):
        assert text in page
    assert "random initialization" not in page, "it was not run"
    rows = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["rows"]
    assert [row["variant"] for row in rows] == [variant for variant in VARIANTS if variant in reports]
    for row in rows:
        assert logged[f"{row['variant']}_glue_mean"] == row["glue_mean"]["value"]
        assert logged[f"{row['variant']}_rte_deviation"] == row["tasks"]["rte"]["deviation"]
        assert logged[f"{row['variant']}_mlm_loss"] == row["mlm_loss"]
    assert rows[2]["published_points"] == -2.96


def test_a_student_alone_different_tasks_and_other_folders_are_refused(reports: dict[str, Path], tmp_path: Path):
    with pytest.raises(InputError, match="only all_losses is given"):
        CompareConfig(all_losses=reports["all_losses"], comparison=tmp_path / "comparison")
    other = write_report(tmp_path / "other", tasks={"rte": 0.5})
    with pytest.raises(InputError, match="without_mlm ran rte and teacher ran rte, cola; fine-tune all models"):
        compare_reports({"teacher": reports["teacher"], "without_mlm": other})
    unknown = '{"glue": {"foo": {"student": 1, "student_deviation": null, "seeds": 1}}, "student": {}}'
    for content in (None, "", "[]", '{"glue": {"rte": {"student": "x"}}, "student": {}}', unknown):
        folder = tmp_path / f"bad {content}"[:8]
        folder.mkdir(exist_ok=True)
        if content is not None:
            (folder / "metrics.json").write_text(content)
        with pytest.raises(
            InputError, match=r"without_ce: .* is not what `report` writes; give the folder of a report"
        ):
            compare_reports({"all_losses": reports["all_losses"], "without_ce": folder})


def test_wnli_is_in_no_mean_here_either(tmp_path: Path):
    tasks = {"rte": 0.6, "wnli": 0.1}
    found = compare_reports({name: write_report(tmp_path / name, tasks=tasks) for name in ("teacher", "all_losses")})
    assert found.row("teacher").mean.value == pytest.approx(0.6)
    assert found.kept(found.row("all_losses")) == 1
    only = compare_reports({name: write_report(tmp_path / f"w{name}", tasks={"wnli": 0.1}) for name in ("teacher",)})
    assert only.row("teacher").mean is None


def edited(folder: Path, **evaluation: float | None) -> Path:
    """The report with some metrics of `evaluate` set, or taken away."""
    content = json.loads((folder / "metrics.json").read_text())
    content["student"] |= evaluation
    content["student"] = {name: value for name, value in content["student"].items() if value is not None}
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def test_losses_are_compared_on_the_same_held_out_tokens_alone(reports: dict[str, Path]):
    edited(reports["without_ce"], mlm_masked_tokens=None)
    found = compare_reports(reports)
    assert set(found.row("without_ce").measured) == {"num_parameters"}, "its loss is that of test sentences"
    assert found.row("all_losses").measured["mlm_loss"] == 4
    edited(reports["without_ce"], mlm_masked_tokens=99)
    sentence = "without_ce was evaluated on 99 masked tokens and teacher on 100; evaluate all models on the same"
    with pytest.raises(InputError, match=sentence):
        compare_reports(reports)


def test_a_report_of_numbers_that_are_none_is_refused(reports: dict[str, Path]):
    for value in (float("nan"), float("inf"), True, "4"):
        edited(reports["without_ce"], mlm_loss=value)
        with pytest.raises(InputError, match=r"without_ce: .* is not what `report` writes"):
            compare_reports(reports)


def test_models_without_glue_are_compared_on_held_out_text(tmp_path: Path):
    folders = {name: write_report(tmp_path / name, tasks={}) for name in ("all_losses", "without_cos")}
    compare(CompareConfig(**folders, comparison=tmp_path / "comparison"))
    page = (tmp_path / "comparison" / "comparison.html").read_text()
    assert "4.000 (3.900 to 4.100)" in page
    assert "GLUE</h2>" not in page


def test_what_mlflow_holds_gives_the_same_tables_again(reports: dict[str, Path], tmp_path: Path):
    found = compare_reports(reports)
    again = comparison_of(flat_metrics(found), found.seeds)
    assert again == found
    training = {row.variant: {"held_out_mlm_loss": 5.0} for row in again.rows}
    made = tables({"metrics": flat_metrics(found), "seeds": found.seeds, "training": training})
    (tmp_path / "page.md").write_text("".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in made))
    write_page(tmp_path / "page.md", made)
    text = (tmp_path / "page.md").read_text()
    assert "| without soft targets | -5.0 +- 2.0 | -2.96 |" in text
    assert "| all three losses | 5.000 | 4.000 (3.900 to 4.100) |" in text
    assert "old" not in text
    with pytest.raises(SystemExit, match="has no mark <!-- other -->"):
        write_page(tmp_path / "page.md", {"other": ""})
