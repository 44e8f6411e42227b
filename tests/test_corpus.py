import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_distillation import corpus
from bert_distillation.corpus import join_sentences, parse_name, read_corpus
from bert_distillation.errors import InputError
from bert_distillation.hub import REVISIONS
from small_corpus import documents, write_jsonl

TEXTS = documents(5)


def read(folder):
    return list(read_corpus(folder, "", 8))


def write_parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_blank_line_separates_the_documents_of_a_text_file(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffOne.\r\nTwo.\r\n\r\n \r\nThree é.".encode())
    assert read(tmp_path) == ["One.\nTwo.", "Three é."]


def test_each_kind_of_file_gives_the_same_documents(tmp_path):
    folders = [tmp_path / kind for kind in ("txt", "jsonl", "parquet", "gz")]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "a.txt").write_text("\n\n".join(TEXTS))
    write_jsonl(folders[1] / "a.jsonl", TEXTS)
    write_parquet(folders[2] / "a.parquet", {"title": ["x"] * 5, "text": TEXTS})
    (folders[3] / "a.jsonl.gz").write_bytes(gzip.compress((folders[1] / "a.jsonl").read_bytes()))
    assert [read(folder) for folder in folders] == [TEXTS] * 4


def test_files_are_read_in_order_of_their_names_with_folders_and_without_hidden_ones(tmp_path):
    for number, name in enumerate(("b.txt", "a/z.txt", "c.txt", ".hidden.txt", ".cache/d.txt", "readme.md")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"Number {number}.")
    assert read(tmp_path) == ["Number 1.", "Number 0.", "Number 2."]


def test_the_folder_wins_over_the_names(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", TEXTS)
    assert list(read_corpus(tmp_path, "no/such-data-set", 8)) == TEXTS


def test_a_text_file_without_blank_lines_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "LONGEST_DOCUMENT", 100)
    lines = [f"This is line {i} of the book." for i in range(50)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    parts = read(tmp_path)
    assert max(map(len, parts)) < 200
    assert "\n".join(parts).split("\n") == lines


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a \\ud83d b"}\n{"text": "\\ud83d\\ude00"}\n')
    assert read(tmp_path) == ["a ? b", "😀"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"One.\nTwo \xe9.\n", r"a\.txt:2 is not UTF-8 text \(byte 0xe9 at position 5 of the line\)"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl:2 is not a JSON object \(Expecting value\)"),
        ("a.jsonl", b'\n["text"]\n', r"a\.jsonl:2 is not a JSON object; each line"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1 is not a JSON object"),
        ("a.jsonl", b'{"id": 1, "body": "x"}\n', r"a\.jsonl:1 has no column `text`; it has id, body"),
        ("a.jsonl", b'{"text": null}\n', r"a\.jsonl:1: `text` must be a string, got NoneType"),
        ("a.jsonl", b'{"text": "\xff"}\n', r"a\.jsonl:1 is not UTF-8"),
        ("a.jsonl", b'{"te\\nxt ": 1, "id": 2}\n', r"a\.jsonl:1 has no column `text`; it has te xt, id\."),
        ("a.parquet", b"PAR1 this is no parquet file", r"a\.parquet is not a readable parquet file"),
        ("a.txt.gz", b"not packed", r"a\.txt\.gz is not a whole gzip file \(Not a gzipped file"),
        ("a.txt.gz", gzip.compress(b"x" * 1000, mtime=0)[:-9], r"a\.txt\.gz is not a whole gzip file"),
        ("a.md", b"text", r"holds no text; looked for \*\.txt .*\*\.jsonl or \*\.parquet"),
    ],
)
@pytest.mark.usefixtures("no_garbage_collection")
def test_a_file_that_cannot_be_read_is_named_in_one_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_parquet_file_without_text_is_refused_with_its_columns(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"id": [1], "body": ["x"]})
    with pytest.raises(InputError, match="no column `text`; its columns are id, body"):
        read(tmp_path)
    write_parquet(tmp_path / "a.parquet", {"text": [1]})
    with pytest.raises(InputError, match="`text` must be a string, got int"):
        read(tmp_path)


def test_a_parquet_file_cut_short_in_its_pages_is_named(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"text": [f"Text number {i}." for i in range(5000)]})
    content = bytearray(path.read_bytes())
    content[100:4000] = b"\xff" * 3900
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet is not a readable parquet file"):
        read(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"corpus: there is no folder .*nowhere"):
        read(tmp_path / "nowhere")


@given(st.binary(max_size=300))
def test_any_bytes_give_documents_or_one_sentence(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.txt", "a.jsonl", "a.parquet", "a.txt.gz"):
        (folder / name).write_bytes(content)
        message = ""
        try:
            assert all(isinstance(text, str) for text in read(folder))
        except InputError as error:
            message = str(error)
        assert "\n" not in message
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("owner/set", ("owner/set", None, None)),
        ("owner/set:config", ("owner/set", "config", None)),
        ("owner/set:config@v1", ("owner/set", "config", "v1")),
        ("owner/set@refs/pr/1", ("owner/set", None, "refs/pr/1")),
        ("bookcorpus/bookcorpus", ("bookcorpus/bookcorpus", None, "refs/convert/parquet")),
        ("wikimedia/wikipedia:20231101.en", ("wikimedia/wikipedia", "20231101.en", REVISIONS["wikimedia/wikipedia"])),
    ],
)
def test_a_data_set_is_named_with_configuration_and_revision(name, parsed):
    assert parse_name(name) == parsed


def test_sentence_rows_make_documents_of_so_many_lines():
    assert list(join_sentences(iter("abcdefg"), 3)) == ["a\nb\nc", "d\ne\nf", "g"]


def test_data_sets_are_read_one_after_another_as_their_layout_asks(tmp_path, monkeypatch):
    """Local parquet files in the hub's layout stand for the hub; `load_dataset` itself is the real one."""
    for name, texts in {
        "bookcorpus": ["a cat .", "a dog .", "a bird ."],
        "bookcorpusopen": ["a book .", "a book, too ."],
        "wikipedia": TEXTS,
    }.items():
        (tmp_path / name / "data").mkdir(parents=True)
        write_parquet(tmp_path / name / "data" / "train-00000-of-00001.parquet", {"text": texts})
    real, asked = datasets.load_dataset, []

    def load_dataset(path, config, *, revision, **settings):
        asked.append((path, config, revision))
        return real(str(tmp_path / path.split("/")[1]), **settings)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    names = "bookcorpus/bookcorpus, lucadiliello/bookcorpusopen, wikimedia/wikipedia:20231101.en@abc"
    assert list(read_corpus(None, names, 2)) == ["a cat .\na dog .", "a bird .", "a book .", "a book, too .", *TEXTS]
    assert asked == [
        ("bookcorpus/bookcorpus", None, "refs/convert/parquet"),
        ("lucadiliello/bookcorpusopen", None, None),
        ("wikimedia/wikipedia", "20231101.en", "abc"),
    ]


def test_a_data_set_that_cannot_be_loaded_is_named():
    with pytest.raises(InputError, match=r"could not load the data set no/such-set:.*--corpus"):
        list(read_corpus(None, "no/such-set", 8))


def test_a_data_set_without_text_is_refused_with_its_columns(tmp_path):
    write_parquet(tmp_path / "train.parquet", {"id": [1], "body": ["x"]})
    with pytest.raises(InputError, match="has no column `text`; it has id, body"):
        list(read_corpus(None, str(tmp_path), 8))


def test_without_folder_and_names_the_flags_are_told():
    with pytest.raises(InputError, match="--corpus or hub data sets with --corpus_names"):
        read_corpus(None, " , ", 8)


def test_real_text_is_the_same_from_jsonl_and_from_txt(shared_data, tmp_path):
    folder = shared_data / "corpus"
    rows = [json.loads(line)["text"] for line in (folder / "tiny.jsonl").read_text(encoding="utf-8").splitlines()]
    (tmp_path / "tiny.txt").symlink_to(folder / "tiny.txt")
    assert read(tmp_path) == rows


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "LONGEST_LINE", 1000)
    with gzip.open(tmp_path / "a.txt.gz", "wb") as stream:
        stream.write(b"A short line.\n" + b"x" * 5000)
    with pytest.raises(InputError, match=r"a\.txt\.gz:2: the line is longer than 1,000 bytes; make several lines"):
        read(tmp_path)


def test_a_link_that_leads_nowhere_is_text_that_is_missing(tmp_path):
    (tmp_path / "a.txt").write_text("Here.")
    (tmp_path / "b.txt").symlink_to(tmp_path / "moved.txt")
    (tmp_path / "notes.md").symlink_to(tmp_path / "moved.md")  # no text, and so no loss
    with pytest.raises(InputError, match=r"b\.txt is a link that leads nowhere; mend or remove it"):
        read(tmp_path)
    (tmp_path / "b.txt").unlink()
    assert read(tmp_path) == ["Here."]


def test_a_text_and_the_same_packed_would_count_twice(tmp_path):
    (tmp_path / "a.txt").write_text("Here.")
    with gzip.open(tmp_path / "a.txt.gz", "wb") as stream:
        stream.write(b"Here.")
    with pytest.raises(InputError, match=r"a\.txt\.gz would be read beside .*a\.txt, the same text twice"):
        read(tmp_path)
    (tmp_path / "a.txt").unlink()
    assert read(tmp_path) == ["Here."]
