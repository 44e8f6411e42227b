import json
from pathlib import Path

import pytest

from bert_distillation.errors import InputError
from small_results import everything, make_report


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return everything(tmp_path)


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
    ("student_evaluation/mask_positions.json", "{}", "holds no JSON list"),
    ("student_evaluation/mask_positions.json", '[{"first": 1}]', "holds no list of first, last"),
    ("student_probes/metrics.json", '{"blimp": "high"}', 'blimp is "high" instead of a finite number'),
    ("student_probes/probes.json", '{"occupations": 3}', "is not what `probe` writes"),
    (
        "student_probes/probes.json",
        '{"occupations": [{"occupation": "a", "log_odds": NaN}], "people": []}',
        "is not what",
    ),
    ("student_probes/probes.json", '{"occupations": [{"occupation": 5, "log_odds": 1}], "people": []}', "is not what"),
    (
        "student_probes/probes.json",
        '{"occupations": [], "people": [{"person": "a", "words": [{"token": 5}]}]}',
        "is not",
    ),
    (COLA, '{"task": "cola", "metrics": {"matthews_correlation": 1}, "seeds": 5}', "seeds is 5 instead of a list"),
    ("student/training_log.jsonl", '{"step": 1, "loss": 2, "learning_rate": NaN}', "learning_rate is NaN"),
    ("student/training_log.jsonl", '{"step": 1, "loss": 1e308}', ":1 is not a row"),
    (
        "student/step.json",
        '{"configuration": {}, "versions": {}, "inputs": [1]}',
        r"inputs is \[1\] instead of an object",
    ),
    (
        "student_cola/metrics.json",
        '{"task": "cola", "metrics": {"matthews_correlation": 1}, "deviations": 3}',
        "is 3 in",
    ),
    ("student/step.json", "[]", "holds no JSON object"),
    ("student/step.json", '{"configuration": [], "versions": {}}', r"configuration is \[\] instead of an object"),
    ("student/step.json", '{"configuration": {}}', "versions is null instead of an object"),
]


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(("name", "content", "reason"), BROKEN_FILES, ids=[row[2] for row in BROKEN_FILES])
def test_a_result_file_that_no_step_writes_is_named_with_what_is_wrong(
    name: str, content: str, reason: str, inputs: dict[str, Path], tmp_path: Path
):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name.split('/')[0]}: .*{Path(name).name}.*{reason}.*; run `.*` again"):
        make_report(tmp_path / "report", **inputs)
    assert not (tmp_path / "report").exists()
