"""`preprocess` with processes, and with tokenizers of other kinds."""

import dataclasses
import json
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from bert_distillation import preprocess
from bert_distillation.errors import InputError
from bert_distillation.sequences import read_metadata
from small_corpus import documents, write_jsonl, write_vocabulary
from test_preprocess import config

TEXTS = documents(400)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_jsonl(folder / "corpus" / "a.jsonl", TEXTS)
    write_vocabulary(folder / "tokenizer", TEXTS)
    return folder


def test_few_blocks_start_no_process(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "ProcessPoolExecutor", None)
    preprocess.preprocess(config(inputs, tmp_path, num_workers=2))
    assert read_metadata(tmp_path / "sequences").sequences


def test_a_few_blocks_wait_at_a_time(monkeypatch):
    """The pool's work is done at once here; what counts is how far ahead of it the corpus is read."""
    monkeypatch.setattr(preprocess, "BLOCKS_WORTH_PROCESSES", 2)
    monkeypatch.setattr(preprocess, "ProcessPoolExecutor", lambda *_: ImmediatePool())
    read = []
    made = preprocess.make_in_order(None, (read.append(i) or i for i in range(100)), 2)
    assert next(made) == "made 0"
    assert len(read) == 5
    assert list(made) == [f"made {i}" for i in range(1, 100)]


class ImmediatePool:
    def submit(self, _, block):
        return dataclasses.make_dataclass("Future", ["result"])(lambda: f"made {block}")

    def shutdown(self, cancel_futures):
        assert cancel_futures


def test_a_worker_that_dies_is_explained(monkeypatch):
    class BrokenPool(ImmediatePool):
        def submit(self, *_):
            raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr(preprocess, "BLOCKS_WORTH_PROCESSES", 2)
    monkeypatch.setattr(preprocess, "ProcessPoolExecutor", lambda *_: BrokenPool())
    with pytest.raises(InputError, match="A worker process died, most often for lack of memory; lower --num_workers"):
        list(preprocess.make_in_order(None, iter(range(9)), 2))


def test_a_tokenizer_without_a_normalizer_will_do(inputs, tmp_path):
    pieces = (inputs / "tokenizer" / "vocab.txt").read_text().splitlines()
    plain = Tokenizer(WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=plain, **names).save_pretrained(tmp_path / "tokenizer")
    preprocess.preprocess(config(inputs, tmp_path, tokenizer=tmp_path / "tokenizer"))
    rows = (tmp_path / "test_data" / "test_data.jsonl").read_text().splitlines()
    assert {json.loads(row)["title"] for row in rows} <= set(pieces)
