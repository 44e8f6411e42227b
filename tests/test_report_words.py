"""What the report and the model card say of a run in words."""

from pathlib import Path

import pytest

from bert_distillation.glue import TASKS
from bert_distillation.report_words import PARAMETERS, caution, settings_words
from bert_distillation.summary import Score, Summary
from small_results import everything, finetuned, make_report, write

REAL = {"num_parameters": PARAMETERS["DistilBERT"]}, {"num_parameters": PARAMETERS["BERT-base"]}


def scores(**train_rows: int | None) -> tuple[Score, ...]:
    return tuple(Score(task, 0.8, 0.9, train_rows=train_rows.get(task.name)) for task in TASKS.values())


def test_a_run_of_the_published_size_on_glue_itself_needs_no_caution():
    whole = scores(**{task.name: task.train_rows for task in TASKS.values()})
    assert caution(Summary(whole, *REAL)) == ""
    assert caution(Summary(scores(), REAL[0], None)) == ""


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        (
            Summary(scores(), {"num_parameters": 1_234_567}, REAL[1]),
            "the student has 1.23 million parameters (DistilBERT: 67.0)",
        ),
        (
            Summary(scores(), REAL[0], {"num_parameters": 22_000_000}),
            "the teacher has 22.00 million parameters (BERT-base: 109.5)",
        ),
        (Summary(scores(sst2=96), *REAL), "SST-2 was learnt from 96 of GLUE's 67,349 rows"),
        (
            Summary(scores(sst2=96, cola=4000, rte=2490), *REAL),
            "SST-2 was learnt from 96 of GLUE's 67,349 rows, and 1 more task likewise",
        ),
        (
            Summary(scores(sst2=96, cola=4000, rte=200), *REAL),
            "SST-2 was learnt from 96 of GLUE's 67,349 rows, and 2 more tasks likewise",
        ),
    ],
)
def test_what_is_smaller_than_published_is_said_with_its_size(summary: Summary, reason: str):
    assert caution(summary) == (
        f"A small run: {reason}. It shows that the steps work; the published numbers are no measure of it."
    )


def test_the_rows_of_a_task_are_those_that_finetune_has_written_down(tmp_path: Path):
    inputs = everything(tmp_path)
    write(
        finetuned(inputs["student_rte"], "rte", 0.5) / "metrics.json",
        {"task": "rte", "metrics": {"accuracy": 0.5}, "train_samples": 800},
    )
    page, _, card = make_report(tmp_path / "report", **inputs)
    assert "RTE was learnt from 800 of GLUE&#x27;s 2,490 rows" in page
    assert "RTE was learnt from 800 of GLUE's 2,490 rows" in card


def test_settings_are_said_as_the_step_takes_them():
    said = settings_words(
        {"num_layers": 0, "layers": "", "dataloader_workers": -1, "hidden_size": 0, "max_train_steps": 0, "seed": 0}
    )
    assert said == {
        "num_layers": "half the teacher's",
        "layers": "spaced evenly",
        "dataloader_workers": "2 with a GPU, else none",
        "hidden_size": "the teacher's",
        "max_train_steps": "as many as the epochs have",
        "seed": "0",
    }
    assert settings_words({"num_layers": 4, "held_out": None}) == {"num_layers": "4", "held_out": "-"}


def test_a_hub_name_that_did_not_matter_is_left_out():
    assert settings_words({"teacher": "/models/mine", "teacher_name": "org/bert"}) == {"teacher": "/models/mine"}
    assert settings_words({"teacher": None, "teacher_name": "org/bert"})["teacher_name"] == "org/bert"
