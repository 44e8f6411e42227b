from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bert_distillation.checkpoints import RunIdentity
from bert_distillation.errors import InputError
from bert_distillation.glue import CARD_TASKS, TASKS, Task
from bert_distillation.glue_data import load_task, read_split, read_task
from bert_distillation.glue_metrics import split_metrics, task_metrics
from bert_distillation.glue_results import SeedRun, read_seed_run, write_seed_run
from small_glue import example, line, write_split, write_task

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)


def test_the_card_has_its_eight_numbers_and_wnli_stays_outside_its_mean():
    numbers = {name: TASKS[name].published_student for name in CARD_TASKS}
    assert list(numbers.values()) == [0.822, 0.885, 0.892, 0.913, 0.513, 0.858, 0.875, 0.599]
    assert set(TASKS) - set(numbers) == {"wnli"}


def test_the_published_elmo_row_is_the_mean_of_glues_two_metrics():
    pairs = {86.2: (88.0, 84.3), 76.6: (70.8, 82.3), 70.4: (70.3, 70.5)}
    assert all(abs(fmean(pair) - published) <= 0.051 for published, pair in pairs.items())


def official(task: Task, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    if task.name == "stsb":
        pearson, spearman = pearsonr(predictions, labels)[0], spearmanr(predictions, labels)[0]
        return {"pearson": pearson, "spearman": spearman, "mean_of_pearson_and_spearman": (pearson + spearman) / 2}
    if task.name == "cola":
        return {"matthews_correlation": matthews_corrcoef(labels, predictions)}
    accuracy = accuracy_score(labels, predictions)
    if task.name in ("mrpc", "qqp"):
        f1 = f1_score(labels, predictions)
        return {"f1": f1, "accuracy": accuracy, "mean_of_f1_and_accuracy": (f1 + accuracy) / 2}
    return {"accuracy": accuracy}


@every_task
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(20, 200))
def test_metrics_are_the_official_ones_on_random_predictions(task: Task, seed: int, size: int):
    random = np.random.default_rng(seed)
    if task.is_regression:
        predictions, labels = random.uniform(0, 5, (2, size))
    else:
        predictions, labels = random.integers(0, len(task.labels), (2, size))
    assert split_metrics(task, predictions, labels) == pytest.approx(official(task, predictions, labels), abs=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_constant_prediction_scores_zero_where_a_correlation_has_no_number():
    labels = np.array([0.0, 2.5, 5.0])
    assert split_metrics(TASKS["stsb"], np.full(3, 2.0), labels)["mean_of_pearson_and_spearman"] == 0
    assert split_metrics(TASKS["cola"], np.ones(3, int), np.array([0, 1, 1])) == {"matthews_correlation": 0}
    assert split_metrics(TASKS["mrpc"], np.zeros(3, int), np.zeros(3, int))["f1"] == 0


def test_mnli_has_a_metric_for_each_set_and_its_headline_is_the_matched_one():
    right, wrong = np.array([0, 1, 2, 0]), np.array([0, 2, 1, 1])
    metrics = task_metrics(
        TASKS["mnli"], {"validation_matched": (right, right), "validation_mismatched": (wrong, right)}
    )
    assert metrics == {"accuracy_matched": 1.0, "accuracy_mismatched": 0.25}
    assert TASKS["mnli"].headline == "accuracy_matched"


@every_task
def test_the_headline_is_among_the_metrics(task: Task):
    values = np.array([0, 1, 1, 0])
    assert task.headline in task_metrics(task, dict.fromkeys(task.validation, (values, values)))


@every_task
def test_a_task_in_glues_own_layout_is_read_as_it_was_written(task: Task, tmp_path: Path):
    splits = read_task(task, write_task(task, tmp_path))
    assert {name: len(examples) for name, examples in splits.items()} == {"train": 8} | dict.fromkeys(
        task.validation, 6
    )
    for number in range(8):
        texts, label = example(task, number)
        assert [column[number] for column in splits["train"].texts] == texts
        expected = float(label) if task.is_regression else task.file_labels.index(label)
        assert splits["train"].labels[number] == expected
    assert all(examples.malformed == 0 for examples in splits.values())


def test_quotes_and_a_windows_line_end_are_part_of_no_rule(tmp_path: Path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b'sentence\tlabel\r\n"the cat\t1\r\nthe "dog" .\t0\r\n')
    examples = read_split(TASKS["sst2"], path)
    assert examples.texts == (['"the cat', 'the "dog" .'],)
    assert examples.labels == [1, 0]


def test_real_glue_files_are_read_whole(shared_data: Path):
    sizes = {
        task.name: [len(examples) for examples in read_task(task, shared_data / "glue").values()]
        for task in TASKS.values()
        if task.name in ("cola", "stsb", "mrpc", "rte", "mnli")
    }
    assert sizes == {
        "cola": [7771, 764],
        "stsb": [5216, 518],
        "mrpc": [3247, 421],
        "rte": [2205, 285],
        "mnli": [9473, 998, 306],
    }


@every_task
def test_the_shipped_sample_is_read_without_a_malformed_row(task: Task):
    splits = read_task(task, Path(__file__).resolve().parents[1] / "sample_data" / "glue")
    assert all(len(examples) > 50 and examples.malformed == 0 for examples in splits.values())


def hub_task(task: Task) -> DatasetDict:
    """The task with the hub's columns and ids."""

    def split(rows: int) -> Dataset:
        pairs = [example(task, number) for number in range(rows)]
        columns = {name: [texts[i] for texts, _ in pairs] for i, name in enumerate(task.hub_columns)}
        ids = [float(label) if task.is_regression else task.file_labels.index(label) for _, label in pairs]
        data = Dataset.from_dict(columns | {"label": ids, "idx": list(range(rows))})
        return data if task.is_regression else data.cast_column("label", ClassLabel(names=list(task.labels)))

    return DatasetDict({name: split(8) for name in ("train", *task.validation, "test")})


@every_task
def test_the_hub_gives_the_same_examples_as_the_files(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = {}

    def load_dataset(name: str, config: str, revision: str | None = None) -> DatasetDict:
        asked.update(name=name, config=config, revision=revision)
        return hub_task(task)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    from_hub = load_task(task, None, "nyu-mll/glue")
    from_files = read_task(task, write_task(task, tmp_path))
    assert from_hub["train"] == from_files["train"]
    assert set(from_hub) == set(from_files)
    assert (asked["name"], asked["config"]) == ("nyu-mll/glue", task.name)
    assert asked["revision"], "the default data set is pinned"


@pytest.mark.parametrize(
    ("task", "column", "value", "sentence"),
    [
        ("rte", "label", None, "has the label None in row 2 of train, not a class from 0 to 1"),
        ("rte", "label", -1, "has the label -1 in row 2 of train, not a class from 0 to 1"),
        ("stsb", "label", 5.5, "has the label 5.5 in row 2 of train, not a number from 0 to 5"),
        ("rte", "sentence2", None, 'has no text in "sentence2" in row 2 of train'),
    ],
)
def test_a_broken_row_of_the_hub_is_named(task, column, value, sentence, monkeypatch: pytest.MonkeyPatch):
    splits = hub_task(TASKS[task])
    rows = splits["train"].to_dict()
    rows[column][2] = value
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: splits | {"train": Dataset.from_dict(rows)})
    with pytest.raises(InputError, match=sentence):
        load_task(TASKS[task], None, "nyu-mll/glue")


def test_a_data_set_on_disk_in_the_hubs_layout_is_loaded_by_the_real_loader_and_a_damaged_one_refused(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    files = {"train": "train", "validation": "validation", "test": "test"}
    for name, rows in hub_task(TASKS["rte"]).items():
        (tmp_path / "glue" / "rte").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(tmp_path / "glue" / "rte" / f"{name}-00000-of-00001.parquet")
    lines = [f"      - split: {split}\n        path: rte/{name}-*" for split, name in files.items()]
    card = "\n".join(["---", "configs:", "  - config_name: rte", "    data_files:", *lines, "---", ""])
    (tmp_path / "glue" / "README.md").write_text(card)
    splits = load_task(TASKS["rte"], None, str(tmp_path / "glue"))
    assert [len(examples) for examples in splits.values()] == [8, 8]
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "another_cache")
    file = tmp_path / "glue" / "rte" / "train-00000-of-00001.parquet"
    file.write_bytes(b"PAR1" + bytes(20) + file.read_bytes()[24:])
    with pytest.raises(InputError, match=r"could not load rte from .*: Couldn.t deserialize thrift.*\. Check"):
        load_task(TASKS["rte"], None, str(tmp_path / "glue"))


def broken(task: Task, path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        read_split(task, path)
    return str(error.value)


def test_a_missing_column_is_named_with_the_columns_that_are_there(tmp_path: Path):
    message = broken(TASKS["rte"], tmp_path / "train.tsv", "index\tsentence1\tlabel\n0\ta\tentailment\n")
    assert message == f'{tmp_path / "train.tsv"} has no column "sentence2"; it has: index, sentence1, label.'


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a\tb\tentailment", "3 columns instead of 4"),
        ("0\ta\tb\tperhaps", 'label "perhaps" is not one of entailment, not_entailment'),
        ("0\ta\t \tentailment", 'column "sentence2" is empty'),
    ],
)
def test_a_malformed_row_is_named_with_file_and_line(row: str, reason: str, tmp_path: Path):
    path = tmp_path / "train.tsv"
    message = broken(TASKS["rte"], path, f"index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n{row}\n")
    assert message.startswith(f"{path}:3: {reason}; 1 of 2 rows cannot be read, more than 1%.")


@pytest.mark.parametrize("score", ["nan", "5.1", "-1", "good"])
def test_a_score_outside_its_range_is_refused(score: str, tmp_path: Path):
    row = line(TASKS["stsb"], 0).rsplit("\t", 1)[0]
    header = write_split(TASKS["stsb"], tmp_path / "header.tsv", 0).read_text()
    assert f":2: score {score}" in broken(TASKS["stsb"], tmp_path / "train.tsv", f"{header}{row}\t{score}\n").replace(
        '"', ""
    )


def test_a_few_broken_rows_of_a_large_file_are_left_out_and_told(tmp_path: Path, caplog):
    path = write_split(TASKS["qqp"], tmp_path / "train.tsv", 300)
    path.write_text(path.read_text() + "301\thalf a row\n")
    examples = read_split(TASKS["qqp"], path)
    assert (len(examples), examples.malformed) == (300, 1)
    assert f"{path}:302: 2 columns instead of 6; the row is left out" in caplog.text


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path):
    message = broken(TASKS["sst2"], tmp_path / "train.tsv", b"sentence\tlabel\nfine\t1\ncaf\xe9\t0\n")
    assert message == (
        f"{tmp_path / 'train.tsv'}:3 is not UTF-8 text (byte 0xe9 at position 4 of the line); save the file as UTF-8."
    )


def test_missing_and_empty_files_are_named(tmp_path: Path):
    assert "has no column" in broken(TASKS["sst2"], tmp_path / "SST-2" / "train.tsv", "")
    assert "holds no rows" in broken(TASKS["sst2"], tmp_path / "SST-2" / "train.tsv", "sentence\tlabel\n")
    with pytest.raises(InputError, match=r"There is no file .*dev\.tsv"):
        read_split(TASKS["sst2"], tmp_path / "SST-2" / "dev.tsv")
    with pytest.raises(InputError, match=r"there is no folder .*CoLA"):
        read_task(TASKS["cola"], tmp_path)


def test_a_hub_data_set_that_cannot_be_had_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="give a folder with --glue"):
        load_task(TASKS["cola"], None, "")
    monkeypatch.setattr("datasets.load_dataset", lambda *a, **k: DatasetDict({"train": Dataset.from_dict({"x": [1]})}))
    with pytest.raises(InputError, match='has no column "sentence"; it has: x'):
        load_task(TASKS["cola"], None, "someone/else")

    def offline(*arguments: object, **settings: object) -> None:
        raise ConnectionError("no route to host\nmore")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(InputError, match=r"could not load cola from someone/else: no route to host\. Check"):
        load_task(TASKS["cola"], None, "someone/else")


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bert_distillation.text_lines.LONGEST_LINE", 1000)
    file = write_split(TASKS["sst2"], tmp_path / "train.tsv", rows=2)
    with file.open("a") as stream:
        stream.write("x" * 5000)
    with pytest.raises(InputError, match=r"train\.tsv:4: the line is longer than 1,000 bytes; make several lines"):
        read_split(TASKS["sst2"], file)


@pytest.mark.parametrize(
    ("shape", "split", "is_taken"),
    [
        ({"epochs": "3"}, {"num_processes": "1"}, True),
        ({"epochs": "3"}, {"num_processes": "4"}, False),
        ({"epochs": "2"}, {"num_processes": "1"}, False),
    ],
)
def test_a_finished_seed_is_taken_by_a_run_of_its_shape_and_processes(
    shape: dict, split: dict, is_taken: bool, tmp_path: Path
):
    results = {"validation": (np.array([0, 1]), np.array([1, 1]))}
    done = SeedRun(7, results, {"accuracy": 0.5}, 100, 1.5)
    write_seed_run(tmp_path, RunIdentity({"epochs": "3"}, {"num_processes": "1"}), done)
    found = read_seed_run(tmp_path, RunIdentity(shape, split))
    assert (found is not None and found.metrics == done.metrics) == is_taken
