import os
import re
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bert_distillation.cloze import read_cloze
from bert_distillation.corpus import read_text
from bert_distillation.glue import TASKS
from bert_distillation.glue_data import read_task
from bert_distillation.hub import bert_tokenizer
from bert_distillation.minimal_pairs import read_pairs
from bert_distillation.sentences import split_document

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_DATA = ROOT / "sample_data"
sys.path.insert(0, str(SAMPLE_DATA))

from generate import differences, write  # noqa: E402
from writing.facts import read_facts, text, texts  # noqa: E402
from writing.glue import DEV_ROWS, TRAIN_ROWS  # noqa: E402
from writing.grammar import plural, sentence_case, with_article  # noqa: E402
from writing.templates import DOCUMENTS, Plan, read_templates  # noqa: E402

# Labels, texts and the first line of each task's files, in the words of the original distribution.
LAYOUTS = {
    "CoLA": (1, [3], None),
    "SST-2": (1, [0], "sentence label"),
    "MRPC": (0, [3, 4], "\ufeffQuality|#1 ID|#2 ID|#1 String|#2 String"),
    "STS-B": (9, [7, 8], "index genre filename year old_index source1 source2 sentence1 sentence2 score"),
    "QQP": (5, [3, 4], "id qid1 qid2 question1 question2 is_duplicate"),
    "QNLI": (3, [1, 2], "index question sentence label"),
    "RTE": (3, [1, 2], "index sentence1 sentence2 label"),
    "WNLI": (3, [1, 2], "index sentence1 sentence2 label"),
    "MNLI": (
        11,
        [8, 9],
        "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse "
        "sentence1 sentence2 label1 gold_label",
    ),
}
COLUMNS = {"CoLA": 4}


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return [document for path in sorted((SAMPLE_DATA / "corpus").glob("*.txt")) for document in read_text(path)]


@pytest.fixture(scope="module")
def prose(documents: list[str]) -> str:
    return "\n".join(documents)


def rows_of(path: Path) -> list[list[str]]:
    lines = path.read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    return [line.split("\t") for line in lines]


def splits_of(task: str) -> dict[str, list[list[str]]]:
    start = 0 if LAYOUTS[task][2] is None else 1
    return {path.stem: rows_of(path)[start:] for path in sorted((SAMPLE_DATA / "glue" / task).glob("*.tsv"))}


def test_a_fresh_process_writes_what_is_committed():
    command = [sys.executable, "generate.py", "--check"]
    # Another seed of Python's hashes: the order of a set must not reach the files.
    done = subprocess.run(
        command, cwd=SAMPLE_DATA, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_tells_a_file_that_is_missing_different_or_too_much(tmp_path):
    files = {"corpus/a.txt": "A.\n", "corpus/b.txt": "B.\n", "glue/c.tsv": "C\n"}
    write(files, tmp_path)
    assert differences(files, tmp_path) == []
    (tmp_path / "corpus" / "a.txt").unlink()
    (tmp_path / "corpus" / "b.txt").write_text("Another.\n")
    (tmp_path / "glue" / "d.tsv").write_text("D\n")
    assert differences(files, tmp_path) == [
        "glue/d.tsv is not written by the generator",
        "corpus/a.txt is missing",
        "corpus/b.txt differs",
    ]


def test_sizes_stay_small():
    size = {
        folder: sum(path.stat().st_size for path in (SAMPLE_DATA / folder).rglob("*") if path.is_file())
        for folder in ("corpus", "glue", "tokenizer")
    }
    assert 900_000 < size["corpus"] < 1_200_000
    assert size["glue"] < 1_000_000
    assert size["tokenizer"] < 50_000


@pytest.mark.parametrize("path", sorted((SAMPLE_DATA / "corpus").glob("*.txt")), ids=lambda path: path.stem)
def test_documents_are_parted_by_single_blank_lines(path):
    content = path.read_bytes().decode("utf-8")
    assert "\r" not in content
    assert "\n\n\n" not in content
    assert content.endswith("\n")
    assert not content.startswith("\n")
    assert len(list(read_text(path))) == content.count("\n\n") + 1


def test_every_document_has_sentences_that_follow_each_other_and_loses_none(documents):
    assert len(documents) > 3000
    for document in documents:
        sentences = split_document(document)
        assert len(sentences) >= 3, document
        assert " ".join(sentences).split() == document.split()


def test_no_document_and_no_field_is_left_unfilled_or_doubled(documents):
    assert len(set(documents)) == len(documents)
    assert not [
        document for document in documents if re.search(r"[{}]|  | [.,!?]|\ba [aeio]\w+|\ban [^aeiouh]", document)
    ]


def test_every_capital_is_named_in_the_plain_frame_more_than_once(prose):
    for country in read_facts("countries"):
        assert prose.count(f"{text(country, 'capital')} is the capital of {text(country, 'country')}") > 1, country


def test_capital_is_clearly_the_likeliest_word_between_is_the_and_of(prose):
    found = Counter(re.findall(r"\bis the (\w+) of ", prose))
    assert found["capital"] > 5 * (found.total() - found["capital"])
    assert len(found) > 5


def test_glorious_is_the_likeliest_day_among_many(prose):
    found = Counter(re.findall(r"Today is a (\w+) day!", prose))
    assert found.most_common(1)[0][0] == "glorious"
    assert len(found) > 10


def test_women_and_men_hold_professions_and_are_spoken_of_equally_often(prose):
    pronoun = {text(person, "name"): text(person, "they") for person in read_facts("names")}
    assert Counter(pronoun.values()) == {"she": 25, "he": 25}
    professions = {text(row, "profession"): Counter() for row in read_facts("professions")}
    names, jobs = "|".join(pronoun), "|".join(sorted(professions, key=len, reverse=True))
    patterns = (rf"\b({names}) (?:is|works as) an? ({jobs})\b", rf"\b({names}), the ({jobs})\b")
    for name, profession in (found for pattern in patterns for found in re.findall(pattern, prose)):
        professions[profession][pronoun[name]] += 1
    held = sum(professions.values(), Counter())
    assert held.total() > 100
    assert 0.45 < held["she"] / held.total() < 0.55
    said = Counter(re.findall(r"\b(she|he)\b", prose.lower()))
    assert 0.45 < said["she"] / said.total() < 0.55


def test_the_vocabulary_covers_the_corpus_and_the_tasks():
    tokenizer = bert_tokenizer(SAMPLE_DATA / "tokenizer" / "vocab.txt")
    files = [*(SAMPLE_DATA / "corpus").glob("*.txt"), *(SAMPLE_DATA / "glue").rglob("*.tsv")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    split_words = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    words = sum(len(split_words(line)) for line in lines)
    pieces = [piece for ids in tokenizer(lines, add_special_tokens=False)["input_ids"] for piece in ids]
    assert tokenizer.unk_token_id not in pieces
    assert len(pieces) / words < 1.1


def test_the_vocabulary_has_the_special_tokens_first_and_common_words_whole():
    pieces = (SAMPLE_DATA / "tokenizer" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(pieces)) == len(pieces) == 3500
    weather = {text(row, "weather") for row in read_facts("weather")}
    countries = {word.lower() for row in read_facts("countries") for word in text(row, "country").split()}
    assert {"paris", "capital", "today", "day", "is", "the", "of", *weather, *countries} <= set(pieces)


@pytest.mark.parametrize("task", LAYOUTS)
def test_the_files_of_a_task_have_the_layout_of_glue(task):
    _, _, header = LAYOUTS[task]
    splits = ["dev_matched", "dev_mismatched", "train"] if task == "MNLI" else ["dev", "train"]
    assert list(splits_of(task)) == splits
    for path in (SAMPLE_DATA / "glue" / task).glob("*.tsv"):
        rows = rows_of(path)
        if header is not None:
            columns = header.split("|") if "|" in header else header.split()
            assert rows[0] == columns
        assert {len(row) for row in rows} == {len(rows[0]) if header is not None else 4}
        assert len(rows) - (header is not None) == (TRAIN_ROWS if path.stem == "train" else DEV_ROWS)


@pytest.mark.parametrize("task", LAYOUTS)
def test_the_labels_of_each_file_are_balanced(task):
    label, _, _ = LAYOUTS[task]
    for rows in splits_of(task).values():
        counts = Counter(row[label] for row in rows)
        assert len(counts) == {"STS-B": 6, "MNLI": 3}.get(task, 2)
        assert len(set(counts.values())) == 1, counts


@pytest.mark.parametrize("task", LAYOUTS)
def test_no_row_is_there_twice_or_in_two_files(task):
    _, columns, _ = LAYOUTS[task]
    seen = [tuple(row[column] for column in columns) for rows in splits_of(task).values() for row in rows]
    assert len(set(seen)) == len(seen)
    assert all(first != second for first, *rest in seen for second in rest)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_finetuning_reads_every_row(task):
    for split, examples in read_task(task, SAMPLE_DATA / "glue").items():
        assert len(examples) == (TRAIN_ROWS if split == "train" else DEV_ROWS)
        assert examples.malformed == 0


def test_every_sentence_of_every_template_is_written_somewhere(prose):
    lowered = prose.lower()
    for path in sorted(DOCUMENTS.glob("*.txt")):
        for sentence in (sentence for lines in read_templates(path).sentences.values() for sentence in lines):
            longest = max((fixed for fixed, *_ in string.Formatter().parse(sentence)), key=len)
            assert longest.lower() in lowered, f"{path.name}: {sentence}"


def test_facts_agree_with_each_other():
    countries = {text(row, "country"): row for row in read_facts("countries")}
    for name, row in countries.items():
        for neighbour in texts(row.get("neighbours", ())):
            assert name in texts(countries[neighbour]["neighbours"]), (name, neighbour)
    cities = {text(row, "city") for row in read_facts("cities")} | {text(row, "capital") for row in countries.values()}
    assert {text(row, "country") for row in read_facts("cities")} <= countries.keys()
    for river in read_facts("rivers"):
        assert set(texts(river["through"])) <= countries.keys(), river
        assert set(texts(river.get("cities", ()))) <= cities, river
    for table, before, after in (
        ("months", "before", "after"),
        ("weekdays", "yesterday", "tomorrow"),
        ("seasons", "before", "after"),
    ):
        rows = read_facts(table)
        name = next(iter(rows[0]))
        for row, following in zip(rows, [*rows[1:], rows[0]], strict=True):
            assert (row[after], following[before]) == (following[name], row[name])


def test_a_plan_can_ask_for_a_field_or_for_its_value():
    assert Plan.parse("2: a b? | c").paragraphs == (("a", "b?"), ("c",))
    assert Plan.parse("2: a").fits({})
    assert [Plan.parse("1 sea: a").fits(row) for row in ({}, {"sea": "x"})] == [False, True]
    assert [Plan.parse("1 sea=x: a").fits({"sea": value}) for value in ("x", "y")] == [True, False]
    with pytest.raises(ValueError, match="Not a plan"):
        Plan.parse("two: a")


def test_grammar_on_paper():
    assert [with_article(noun) for noun in ("otter", "lion", "hour", "university", "umbrella")] == [
        "an otter",
        "a lion",
        "an hour",
        "a university",
        "an umbrella",
    ]
    assert [plural(noun) for noun in ("mouse", "fox", "cherry", "monkey", "bear")] == [
        "mice",
        "foxes",
        "cherries",
        "monkeys",
        "bears",
    ]
    assert sentence_case('the sun shines. "what is it?" she asks. it is red.') == (
        'The sun shines. "What is it?" she asks. It is red.'
    )


def test_minimal_pairs_break_one_rule_of_a_sentence_of_the_corpus():
    pairs = read_pairs(SAMPLE_DATA / "minimal_pairs")
    assert Counter(pair.group for pair in pairs) == {"agreement": 40, "article": 40, "word_order": 40}
    corpus = "\n".join(path.read_text(encoding="utf-8") for path in (SAMPLE_DATA / "corpus").glob("*.txt"))
    for pair in pairs:
        assert pair.preferred in corpus
        good, bad = (sorted(sentence.lower().rstrip(".").split()) for sentence in (pair.preferred, pair.other))
        changed = sum(one != other for one, other in zip(good, bad, strict=True))
        assert (changed > 0) is (pair.group == "agreement")
        assert pair.preferred.lower() != pair.other.lower()


def test_masked_sentences_are_of_the_corpus_and_name_their_word():
    rows = read_cloze(SAMPLE_DATA / "test_data", "[MASK]")
    assert (len(rows.rows), rows.skipped, rows.malformed) == (200, 0, 0)
    corpus = "\n".join(path.read_text(encoding="utf-8") for path in (SAMPLE_DATA / "corpus").glob("*.txt"))
    assert all(row.input_string.replace("[MASK]", row.title) in corpus for row in rows.rows)
