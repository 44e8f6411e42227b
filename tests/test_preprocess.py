import json
import re
import shutil
from pathlib import Path

import pytest

from bert_distillation import blocks, preprocess, sequences
from bert_distillation.errors import InputError
from bert_distillation.hub import bert_tokenizer, fingerprint
from bert_distillation.preprocess import PreprocessConfig, configuration_checksum
from bert_distillation.sequences import open_sequences, open_tokenizer, read_metadata
from small_corpus import documents, read_rows, write_jsonl, write_vocabulary

TEXTS = documents(400)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_jsonl(folder / "corpus" / "a.jsonl", TEXTS[:250])
    (folder / "corpus" / "b.txt").write_text("\n\n".join(TEXTS[250:]))
    write_vocabulary(folder / "tokenizer", TEXTS)
    return folder


@pytest.fixture(scope="module")
def outputs(inputs, tmp_path_factory):
    """The step run once, with the default share held out."""
    folder = tmp_path_factory.mktemp("outputs")
    preprocess.preprocess(config(inputs, folder))
    return folder


def config(inputs: Path, folder: Path, **settings) -> PreprocessConfig:
    paths = {name: folder / name for name in ("sequences", "held_out", "test_data")}
    defaults = {"corpus": inputs / "corpus", "tokenizer": inputs / "tokenizer", "max_seq_length": 64, "num_workers": 1}
    return PreprocessConfig(**(paths | defaults | settings))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shards(folder: Path) -> dict[Path, bytes]:
    return {name: content for name, content in contents(folder).items() if name.suffix in (".arrow", ".jsonl")}


def test_the_counts_are_those_of_the_corpus_and_of_the_rows(outputs):
    kept, held = read_metadata(outputs / "sequences"), read_metadata(outputs / "held_out")
    assert kept.documents + held.documents == 400
    assert kept.sentences + held.sentences == sum(text.count(".") for text in TEXTS)
    for folder, metadata in (("sequences", kept), ("held_out", held)):
        rows = read_rows(outputs / folder)
        assert metadata.sequences == len(rows) > 0
        assert metadata.tokens == sum(len(ids) for ids, _ in rows)
        assert all(len(ids) <= 64 for ids, _ in rows)
        assert metadata.max_seq_length == 64


def test_every_sentence_is_in_the_sequences_or_held_out_and_none_in_both(outputs, inputs):
    tokenizer = bert_tokenizer(inputs / "tokenizer" / "vocab.txt")
    kept, held = (
        "".join(f" {' '.join(map(str, ids))} " for ids, _ in read_rows(outputs / name))
        for name in ("sequences", "held_out")
    )
    for text in TEXTS:
        places = set()
        for sentence in text.replace("\n", " ").split(". "):
            ids = tokenizer(sentence.rstrip(".") + ".", add_special_tokens=False)["input_ids"]
            spelled = f" {' '.join(map(str, ids))} "
            places.add((spelled in kept, spelled in held))
        assert places in ({(True, False)}, {(False, True)})


def test_half_of_the_second_spans_follow_in_the_corpus(outputs, inputs):
    tokenizer = bert_tokenizer(inputs / "tokenizer" / "vocab.txt")
    running = [" ".join(map(str, tokenizer(" ".join(t.split()), add_special_tokens=False)["input_ids"])) for t in TEXTS]
    text = "|".join(f" {ids} " for ids in running)
    rows = read_rows(outputs / "sequences")
    pairs = [ids[1 : start - 1] + ids[start:-1] for ids, start in rows]
    follows = sum(f" {' '.join(map(str, pair))} " in text for pair in pairs)
    assert abs(follows / len(rows) - 0.5) < 4 * 0.5 / len(rows) ** 0.5


def test_the_folders_explain_themselves(outputs, inputs):
    tokenizer = bert_tokenizer(inputs / "tokenizer" / "vocab.txt")
    for name in ("sequences", "held_out", "test_data"):
        record = json.loads((outputs / name / "step.json").read_text())
        assert record["step"] == "preprocess"
        assert record["configuration"]["max_seq_length"] == 64
        assert set(record["inputs"]) == {"corpus", "tokenizer"}
    for name in ("sequences", "held_out"):
        prints = read_metadata(outputs / name).tokenizer_fingerprint, fingerprint(open_tokenizer(outputs / name))
        assert set(prints) == {fingerprint(tokenizer)}


def test_the_metadata_are_written_last(outputs):
    times = {path: path.stat().st_mtime_ns for path in (outputs / "sequences").rglob("*") if path.is_file()}
    assert max(times, key=times.get).name == "metadata.json"


def test_the_test_data_are_held_out_sentences_with_a_word_of_the_vocabulary_masked(outputs, inputs):
    vocabulary = (inputs / "tokenizer" / "vocab.txt").read_text().split("\n")
    rows = [json.loads(line) for line in (outputs / "test_data" / "test_data.jsonl").read_text().splitlines()]
    assert rows
    held = [text for text in TEXTS if blocks.text_hash(text) < 0.01]
    for row in rows:
        assert set(row) == {"input_string", "title"}
        assert row["input_string"].count("[MASK]") == 1
        assert row["title"] in vocabulary
        before, after = row["input_string"].split("[MASK]")
        assert any(before in text and after in text for text in held)


def test_a_decoded_sequence_and_the_rates_are_shown_at_the_end(inputs, tmp_path, capsys):
    preprocess.preprocess(config(inputs, tmp_path))
    sample, summary = capsys.readouterr().out.strip().splitlines()
    assert sample.startswith("a sequence: [CLS] ")
    assert "400 documents, " in summary
    assert re.search(r"tokens \| 0\.00% \[UNK\] \| [\d.]+ documents/s \| [\d.]+k tokens/s$", summary)


def test_rates_and_settings_are_logged(inputs, tmp_path, monkeypatch):
    logged = {}
    monkeypatch.setattr(preprocess, "log_metrics", logged.update)
    monkeypatch.setattr(preprocess, "log_parameters", lambda config: logged.update(parameters=config.max_seq_length))
    preprocess.preprocess(config(inputs, tmp_path))
    assert logged["documents"] == 400
    assert logged["parameters"] == 64
    assert logged["tokens_per_second"] > logged["documents_per_second"] > 0


def test_a_second_run_gives_the_same_bytes_and_another_seed_others(inputs, outputs, tmp_path):
    preprocess.preprocess(config(inputs, tmp_path / "again"))
    preprocess.preprocess(config(inputs, tmp_path / "seed", seed=1))
    assert shards(outputs) == shards(tmp_path / "again")
    assert shards(outputs) != shards(tmp_path / "seed")


def test_two_processes_give_the_same_bytes_as_one(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 30)
    monkeypatch.setattr(sequences, "BATCHES_PER_SHARD", 4)
    monkeypatch.setattr(preprocess, "BLOCKS_WORTH_PROCESSES", 2)
    for workers in (1, 2):
        preprocess.preprocess(config(inputs, tmp_path / str(workers), num_workers=workers, held_out_fraction=0.2))
    assert len(shards(tmp_path / "1")) > 4
    assert shards(tmp_path / "1") == shards(tmp_path / "2")


def test_without_a_terminal_a_line_now_and_then_shows_the_progress(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preprocess, "SECONDS_BETWEEN_LINES", 0)
    preprocess.preprocess(config(inputs, tmp_path))
    assert "400 documents | " in capsys.readouterr().err


def test_what_an_interrupted_run_left_is_replaced(inputs, outputs, tmp_path):
    shutil.copytree(outputs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "sequences" / "data-00007.arrow").write_bytes(b"stale")
    (tmp_path / "sequences" / "notes.txt").write_text("mine")
    preprocess.preprocess(config(inputs, tmp_path))
    (tmp_path / "sequences" / "notes.txt").unlink()
    assert shards(outputs) == shards(tmp_path)


def test_a_share_that_holds_out_every_document_is_named_and_leaves_the_earlier_run_whole(inputs, outputs, tmp_path):
    earlier = shutil.copytree(outputs, tmp_path / "earlier")
    write_jsonl(tmp_path / "corpus" / "a.jsonl", [text for text in TEXTS if blocks.text_hash(text) < 0.5][:3])
    with pytest.raises(InputError, match=r"held_out_fraction is 0\.5, which holds out all documents with sentences"):
        preprocess.preprocess(config(inputs, earlier, corpus=tmp_path / "corpus", held_out_fraction=0.5))
    assert contents(earlier) == contents(outputs)


@pytest.mark.parametrize("line", ["not JSON", '{"text": "A heading"}'])
def test_a_corpus_that_gives_no_sequence_leaves_the_earlier_run_whole(inputs, outputs, tmp_path, line):
    earlier = shutil.copytree(outputs, tmp_path / "earlier")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.jsonl").write_text(line)
    with pytest.raises(InputError):
        preprocess.preprocess(config(inputs, earlier, corpus=tmp_path / "corpus"))
    assert contents(earlier) == contents(outputs)


def test_an_error_in_the_middle_leaves_a_folder_that_readers_refuse(inputs, outputs, tmp_path, monkeypatch):
    shutil.copytree(outputs, tmp_path, dirs_exist_ok=True)
    shutil.copytree(inputs / "corpus", tmp_path / "corpus")
    (tmp_path / "corpus" / "c.txt").write_bytes(b"\xff")
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 100)
    monkeypatch.setattr(preprocess, "BLOCKS_WORTH_PROCESSES", 2)
    with pytest.raises(InputError, match=r"c\.txt:1 is not UTF-8"):
        preprocess.preprocess(config(inputs, tmp_path, corpus=tmp_path / "corpus"))
    with pytest.raises(InputError, match="half-written"):
        open_sequences(tmp_path / "sequences")


def test_a_small_corpus_holds_one_document_out(inputs, tmp_path):
    write_jsonl(tmp_path / "corpus" / "a.jsonl", [text for text in TEXTS if blocks.text_hash(text) > 0.5][:5])
    preprocess.preprocess(config(inputs, tmp_path, corpus=tmp_path / "corpus"))
    assert read_metadata(tmp_path / "held_out").documents == 1
    assert read_metadata(tmp_path / "sequences").documents == 4


def test_one_document_is_enough_where_none_is_held_out(inputs, tmp_path):
    write_jsonl(tmp_path / "corpus" / "a.jsonl", TEXTS[:1])
    with pytest.raises(
        InputError, match="one document, or several that are equal, and none can be held out; put blank lines"
    ):
        preprocess.preprocess(config(inputs, tmp_path, corpus=tmp_path / "corpus"))
    preprocess.preprocess(config(inputs, tmp_path, corpus=tmp_path / "corpus", held_out_fraction=0))
    assert read_metadata(tmp_path / "sequences").documents == 1
    assert read_metadata(tmp_path / "held_out").shards == ()


def test_a_corpus_of_headings_alone_is_refused(inputs, tmp_path):
    write_jsonl(tmp_path / "corpus" / "a.jsonl", ["Heading", "* list"])
    with pytest.raises(InputError, match="no sentence is left without lists, tables and headings"):
        preprocess.preprocess(config(inputs, tmp_path, corpus=tmp_path / "corpus"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_seq_length": 7}, "max_seq_length must be at least 8, got 7"),
        ({"max_seq_length": 513}, r"max_seq_length must be at most 512, as BERT has positions \(state .*\), got 513"),
        ({"held_out_fraction": 1.0}, "held_out_fraction must be at least 0 and below 1, got 1.0"),
        ({"held_out_fraction": float("nan")}, "held_out_fraction must be at least 0 and below 1, got nan"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"sentences_per_document": 0}, "sentences_per_document must be at least 1, got 0"),
        ({"seed": 2**32}, "seed must be between 0 and 4294967295, got 4294967296"),
        ({"held_out": Path("sequences")}, r"sequences \(sequences\) and held_out \(sequences\) overlap"),
        ({"test_data": Path("sequences/test")}, r"sequences \(sequences\) and test_data \(sequences/test\) overlap"),
        ({"test_data": Path("empty/test"), "corpus": Path("empty")}, r"test_data .* and corpus \(empty\) overlap"),
        ({"sequences": Path("empty"), "tokenizer": Path("empty")}, r"sequences .* and tokenizer \(empty\) overlap"),
        ({"corpus": Path("empty")}, r"corpus: empty holds no text; looked for \*\.txt"),
        ({"tokenizer": Path("empty")}, "tokenizer: empty holds no tokenizer"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(inputs, tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    names = {name: Path(name) for name in ("sequences", "held_out", "test_data")}
    with pytest.raises(InputError, match=message) as error:
        preprocess.preprocess(config(inputs, tmp_path, **(names | settings)))
    assert "\n" not in str(error.value)


def test_text_that_the_vocabulary_is_not_of_is_told_of(inputs, tmp_path, capsys):
    texts = [f"{text} Ωμέγα ξένος." for text in documents(40)]
    write_jsonl(tmp_path / "corpus" / "a.jsonl", texts)
    preprocess.preprocess(config(inputs, tmp_path, corpus=tmp_path / "corpus"))
    warning = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"warning: \d+\.\d% of the tokens are \[UNK\], of which a model learns nothing: give a", warning)


def test_the_length_that_a_tokenizer_states_is_the_limit(inputs, tmp_path):
    tokenizer = bert_tokenizer(inputs / "tokenizer" / "vocab.txt")
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(InputError, match="at most 32"):
        preprocess.preprocess(config(inputs, tmp_path, tokenizer=tmp_path / "tokenizer"))


def test_the_checksum_depends_on_what_shapes_the_sequences_alone(inputs, tmp_path):
    plain = configuration_checksum(config(inputs, tmp_path))
    assert plain == configuration_checksum(config(inputs, tmp_path / "elsewhere", num_workers=2))
    assert plain != configuration_checksum(config(inputs, tmp_path, seed=1))


def test_real_text_with_the_real_vocabulary(shared_data, tmp_path):
    (tmp_path / "corpus").mkdir()
    shutil.copyfile(shared_data / "corpus" / "tiny.jsonl", tmp_path / "corpus" / "tiny.jsonl")
    settings = {"tokenizer": shared_data / "vocab", "corpus": tmp_path / "corpus", "max_seq_length": 512}
    preprocess.preprocess(config(tmp_path, tmp_path, **settings))
    kept, held = read_metadata(tmp_path / "sequences"), read_metadata(tmp_path / "held_out")
    assert kept.documents + held.documents == 90
    assert 50_000 < kept.corpus_tokens + held.corpus_tokens < 60_000
    ids = [token for row in open_sequences(tmp_path / "sequences") for token in row["input_ids"]]
    assert ids.count(100) / len(ids) < 0.002  # [UNK]
