"""What a user can get wrong, on the command line: one clear sentence, and a status that is not 0."""

import importlib
from pathlib import Path

import pytest
import transformers

from bert_distillation.hub import bert_tokenizer
from bert_distillation.options import run_step
from conftest import ROOT
from small_models import PIECES, save, small_bert, small_sequences


@pytest.fixture(autouse=True)
def _verbosity():
    """`run_step` makes the libraries quiet, which is for a step's process and not for the other tests."""
    yield
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_progress_bar()


@pytest.fixture(scope="module")
def world(tokenizer, tmp_path_factory) -> Path:
    """A folder with good and bad inputs, named by what they are."""
    root = tmp_path_factory.mktemp("world")
    (root / "tokenizer").mkdir()
    (root / "tokenizer" / "vocab.txt").write_text("\n".join(PIECES))
    (root / "other").mkdir()
    (root / "other" / "vocab.txt").write_text("\n".join([*PIECES, "zebra"]))
    for name in ("empty", "latin", "parquet", "text", "rows", "nothing"):
        (root / name).mkdir()
    (root / "latin" / "book.txt").write_bytes("Le café est fermé.".encode("latin-1"))
    (root / "parquet" / "books.parquet").write_bytes(b"PAR1 and nothing that parquet holds")
    (root / "text" / "book.txt").write_text(
        "The old cat sleeps in the house by the lake.\n\nThe dog runs to the river.\n"
    )
    (root / "rows" / "books.jsonl").write_text('{"text": "The cat sleeps."}\n{"title": "no text"}\n')
    save(small_bert(), tokenizer, root / "teacher")
    other = bert_tokenizer(root / "other" / "vocab.txt")
    save(small_bert(vocab_size=len(PIECES) + 1), other, root / "other_teacher")
    small_sequences(root / "sequences", tokenizer, [("the cat sleeps .", "it was old .")] * 4)
    small_sequences(root / "half", tokenizer, [("the cat sleeps .", "it was old .")] * 4)
    (root / "half" / "metadata.json").unlink()
    small_sequences(root / "cut", tokenizer, [("the cat sleeps .", "it was old .")] * 4)
    shard = root / "cut" / "data-00000.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])
    (root / "glue" / "SST-2").mkdir(parents=True)
    (root / "glue" / "SST-2" / "train.tsv").write_text("text\tlabel\nthe cat\t1\n")
    (root / "glue" / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nthe cat\t1\n")
    (root / "good").symlink_to(ROOT / "sample_data" / "glue")
    return root


PREPROCESS = "preprocess --tokenizer tokenizer --max_seq_length 32 --sequences o1 --held_out o2 --test_data o3"
DISTILL = "distill --teacher teacher --student o1 --max_train_steps 1"
FINETUNE = "finetune --model teacher --glue glue --max_seq_length 32 --classifier o1 --metrics o2"

MISTAKES = [
    (f"{PREPROCESS} --corpus absent", "corpus: there is no folder absent"),
    (f"{PREPROCESS} --corpus text/book.txt", "corpus: text/book.txt is a file"),
    (f"{PREPROCESS} --corpus empty", "empty"),
    (f"{PREPROCESS} --corpus latin", "book.txt"),
    (f"{PREPROCESS} --corpus parquet", "books.parquet"),
    (f"{PREPROCESS} --corpus rows", "books.jsonl:2"),
    (f"{PREPROCESS} --corpus text --max_seq_length 1024", "max_seq_length"),
    (f"{PREPROCESS} --corpus text --max_seq_lenght 64", 'Did you mean "--max_seq_length"?'),
    (f"{PREPROCESS} --corpus text --tokenizer nothing", "tokenizer"),
    (f"{DISTILL} --sequences absent", "there is no folder absent"),
    (f"{DISTILL} --sequences half", "half is half-written: metadata.json is missing; run `preprocess` again"),
    (f"{DISTILL} --sequences cut", "cut is half-written: data-00000.arrow has"),
    (f"{DISTILL} --sequences sequences --teacher other_teacher", "its vocabulary"),
    (f"{DISTILL} --sequences sequences --teacher nothing", "nothing holds no config.json and no model.safetensors"),
    (f"{DISTILL} --sequences sequences --num_layers 9", "the teacher has 4 layers"),
    (f"{DISTILL} --sequences sequences --layers 0,9", "layers names layer 9, but the teacher's layers are 0 to 3"),
    (f"{DISTILL} --sequences sequences --layers 0,x", "layers must be numbers with commas between"),
    (f"{DISTILL} --sequences sequences --layers 0,2 --num_layers 3", "layers names 2 layers and num_layers is 3"),
    (f"{DISTILL} --sequences sequences --hidden_size 20", "give a multiple of 8 up to 32"),
    (f"{DISTILL} --sequences sequences --hidden_size 16 --layers 0,2", "can copy nothing from a teacher of 32"),
    (f"{DISTILL} --sequences sequences --temperature 0", "temperature must be between 0.001 and 100,"),
    (f"{DISTILL} --sequences sequences --learning_rate fast", "invalid float value: 'fast'"),
    (f"{FINETUNE} --task snli", "snli"),
    (f"{FINETUNE} --task sst2", "train.tsv"),
    (f"{FINETUNE} --task rte", "RTE"),
    (f"{FINETUNE} --task sst2 --glue good --max_seq_length 512", "max_seq_length"),
    ("pretrain --sequences half --model o1", "half-written"),
    ("evaluate --model absent --evaluation_result o1", "absent"),
    ("evaluate --model teacher --held_out half --evaluation_result o1", "half-written"),
    ("report --student_evaluation absent --report o1", "absent"),
    ("export --student absent --mlflow_model o1", "there is no folder absent"),
    ("export --student nothing --mlflow_model o1", "nothing holds no config.json and no model.safetensors"),
]


@pytest.mark.parametrize(("command", "words"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_one_sentence_that_names_it(command, words, world, monkeypatch, capfd):
    monkeypatch.chdir(world)
    step, *arguments = command.split()
    module = importlib.import_module(f"bert_distillation.{step}")
    with pytest.raises(SystemExit) as end:
        run_step(getattr(module, f"{step.capitalize()}Config"), getattr(module, step), arguments)
    message = capfd.readouterr().err.strip().splitlines()[-1]
    assert end.value.code in (1, 2)
    assert message.startswith("error: ")
    assert words in message
    assert "Traceback" not in message
    assert message.endswith((".", "?"))
