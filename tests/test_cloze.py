import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_distillation.cloze import ClozeRow, read_cloze
from bert_distillation.errors import InputError

ROWS = [
    ("the [MASK] sleeps .", "cat"),
    ('a "quoted", [MASK]\tand\nmore', "fish"),
    ("caf\u00e9 [MASK] \U0001f600", "is"),
]


def write_rows(path: Path, *rows: tuple[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"input_string": text, "title": word}) for text, word in rows]
    path.write_text("\n".join(lines) + "\n\n")
    return path


def frame() -> pd.DataFrame:
    """The rows as the sample notebook has them, with other columns beside."""
    return pd.DataFrame({"id": range(3), "input_string": [r[0] for r in ROWS], "title": [r[1] for r in ROWS]})


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "jsonl.gz"])
def test_what_pandas_writes_is_read_as_it_was(kind: str, tmp_path: Path):
    path = tmp_path / f"rows.{kind}"
    if kind in ("csv", "tsv"):
        frame().to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
    else:
        frame().to_json(path, orient="records", lines=kind != "json")
    assert read_cloze(path, "[MASK]").rows == read_cloze(tmp_path, "[MASK]").rows == [ClozeRow(*row) for row in ROWS]


@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), min_size=1, max_size=5))
def test_any_text_survives_a_jsonl_file(tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [(f"x{text} [MASK] y", f"w{word}") for text, word in texts]
    read = read_cloze(write_rows(path, *rows), "[MASK]").rows
    assert [(row.input_string, row.title) for row in read] == [
        tuple(text.encode("utf-8", "replace").decode() for text in row) for row in rows
    ]


def test_cls_and_sep_round_a_text_are_taken_off(tmp_path: Path):
    path = write_rows(tmp_path / "rows.jsonl", ("[CLS] the [MASK] sleeps . [SEP]", "cat"), ("a [SEP] [MASK]", "cat"))
    assert [row.input_string for row in read_cloze(path, "[MASK]").rows] == ["the [MASK] sleeps .", "a [SEP] [MASK]"]


def test_texts_without_a_mask_are_told_by_file_and_line_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write_rows(tmp_path / "rows.jsonl", ("the [MASK] .", "cat"), ("no mask", "cat"), ("[MASK] [MASK]", "cat"))
    read = read_cloze(path, "[MASK]")
    assert [row.input_string for row in read.rows] == ["the [MASK] .", "[MASK] [MASK]"]
    assert (read.skipped, read.malformed) == (1, 0)
    assert "rows.jsonl:2: the text has no [MASK]" in caplog.text


def test_the_mask_of_another_model_is_named(tmp_path: Path):
    path = write_rows(tmp_path / "rows.jsonl", ("the <mask> .", "cat"))
    with pytest.raises(InputError, match=r"none of the 1 rows .*\[MASK\]\. .*rows.jsonl:1 has <mask>: write \[MASK\]"):
        read_cloze(path, "[MASK]")


def test_columns_may_have_other_names(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("text,answer\nthe [MASK] .,cat\n")
    assert read_cloze(tmp_path / "rows.csv", "[MASK]", "text", "answer").rows == [ClozeRow("the [MASK] .", "cat")]


MALFORMED = [
    ("jsonl", b"{", r"not JSON \("),
    ("jsonl", b"[]", "a row is an object with a value for each column, not list"),
    ("jsonl", b'{"input_string": "[MASK]", "word": "x"}', 'no column "title"; the row has: input_string, word'),
    ("jsonl", b'{"input_string": "[MASK]", "title": NaN}', 'column "title" holds float instead of a text'),
    ("jsonl", b'{"input_string": "[MASK]", "title": "  "}', 'column "title" is empty'),
    ("jsonl", b"[" * 100_000, "not JSON that can be read"),
    ("jsonl", b'{"input_string": ' + b"7" * 5000 + b"}", "not JSON that can be read"),
    ("csv", b"[MASK],x,y", "3 columns instead of 2"),
    ("csv", b"[MASK]", "1 columns instead of 2"),
    ("csv", b'a,"b"c', "not a row of cells"),
    ("tsv", b"[MASK]\t ", 'column "title" is empty'),
]


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(("kind", "line", "reason"), MALFORMED)
def test_a_row_that_cannot_be_read_is_named_with_file_and_line(kind: str, line: bytes, reason: str, tmp_path: Path):
    first = {"jsonl": b"\n", "csv": b"input_string,title\n", "tsv": b"input_string\ttitle\n"}[kind]
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(first + line)
    with pytest.raises(InputError, match=f"rows.{kind}:2: .*{reason}.*; 1 of 1 rows cannot be read, more than 1%"):
        read_cloze(path, "[MASK]")


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(("kind", "line", "reason"), MALFORMED)
def test_a_few_of_many_rows_are_left_out_and_counted(
    kind: str, line: bytes, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / f"rows.{kind}"
    good = pd.DataFrame([("the [MASK] .", "cat")] * 150, columns=["input_string", "title"])
    if kind == "jsonl":
        good.to_json(path, orient="records", lines=True)
    else:
        good.to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
    number = 151 if kind == "jsonl" else 152
    path.write_bytes(path.read_bytes().rstrip(b"\n") + b"\n" + line + b"\n")
    read = read_cloze(path, "[MASK]")
    assert (len(read.rows), read.malformed) == (150, 1)
    assert f"rows.{kind}:{number}: " in caplog.text


def test_text_that_is_not_utf8_and_a_cut_gzip_file_end_the_reading(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"input_string": "[MASK]", "title": "x"}\n{"input_string": "caf\xe9"}')
    with pytest.raises(InputError, match=r"rows\.jsonl:2 is not UTF-8 text \(byte 0x.. at position 22 of the line\)"):
        read_cloze(tmp_path / "rows.jsonl", "[MASK]")
    whole = gzip.compress(b'{"input_string": "[MASK]", "title": "x"}\n' * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(InputError, match=r"cut\.jsonl\.gz is not a whole gzip file"):
        read_cloze(tmp_path / "cut.jsonl.gz", "[MASK]")


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bert_distillation.text_lines.LONGEST_LINE", 1000)
    (tmp_path / "rows.jsonl").write_bytes(b'{"input_string": "' + b"x" * 5000)
    with pytest.raises(InputError, match=r"rows\.jsonl:1: the line is longer than 1,000 bytes"):
        read_cloze(tmp_path, "[MASK]")


def test_half_of_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"input_string": "\\ud83d [MASK]", "title": "\\udc00"}')
    (row,) = read_cloze(tmp_path, "[MASK]").rows
    assert (row.input_string, row.title) == ("? [MASK]", "?")


def test_a_folder_with_the_name_of_a_file_is_passed_over(tmp_path: Path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(InputError, match=r"holds no \.jsonl, \.json, \.csv or \.tsv file"):
        read_cloze(tmp_path, "[MASK]")
    write_rows(tmp_path / "b.jsonl", ("[MASK]", "cat"))
    (tmp_path / "step.json").write_text("{}")  # what the step that wrote the folder left there
    assert len(read_cloze(tmp_path, "[MASK]").rows) == 1


def test_test_data_that_is_not_there_or_of_another_kind_is_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="test_data: there is no file or folder"):
        read_cloze(tmp_path / "nothing", "[MASK]")
    (tmp_path / "rows.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"test_data: .*rows\.parquet is not a \.jsonl, \.json, \.csv or \.tsv file"):
        read_cloze(tmp_path / "rows.parquet", "[MASK]")
    (tmp_path / "rows.json").write_text("{}")
    with pytest.raises(InputError, match=r"a \.json file is a list of objects, not dict"):
        read_cloze(tmp_path / "rows.json", "[MASK]")


def test_a_quote_that_is_never_closed_does_not_hide_the_rows_behind_it(tmp_path: Path):
    rows = ["the [MASK] .,cat"] * 250
    rows[149] = '"the [MASK] .,cat'
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["input_string,title", *rows]) + "\n")
    with pytest.raises(InputError, match=r"rows\.csv:151: a quote that opens in this row is never closed"):
        read_cloze(path, "[MASK]")
    rows[199] = 'the "[MASK] .,cat'  # a cell that ends in the middle far behind takes all its lines with it
    path.write_text("\n".join(["input_string,title", *rows]) + "\n")
    with pytest.raises(InputError, match=r"rows\.csv:151: .*; 51 of 250 rows cannot be read"):
        read_cloze(path, "[MASK]")


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("input_string,title,title\nthe [MASK] .,cat,dog\n")
    with pytest.raises(InputError, match='two columns are called "title"'):
        read_cloze(tmp_path / "rows.csv", "[MASK]")
