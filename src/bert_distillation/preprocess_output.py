"""The folders of `preprocess` while they are written, and what lets it go on after an interruption.

A shard lies beside its place until it is whole. `unfinished.json` then says which blocks the whole shards hold, so
that a restart with the same settings makes only the others; the folders are complete when `metadata.json` is there.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from transformers import PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.blocks import Block, MadeBlock
from bert_distillation.errors import InputError
from bert_distillation.outputs import make_folder
from bert_distillation.run_lock import RunLock
from bert_distillation.sequences import (
    TOKENIZER_FOLDER,
    Metadata,
    SequenceWriter,
    Shard,
    sequence_schema,
    write_metadata,
)
from bert_distillation.tracking import PARTIAL, STEP_FILE, write_json, write_step

TEST_FILE = "test_data.jsonl"
UNFINISHED_TEST_FILE = TEST_FILE + PARTIAL
JOURNAL = "unfinished.json"
KINDS = {"sequences": False, "held_out": True}  # output -> whether its documents are held out


@dataclass
class Counts:
    """Sums over blocks."""

    documents: int = 0
    sentences: int = 0
    sequences: int = 0
    corpus_tokens: int = 0
    tokens: int = 0
    unknown_tokens: int = 0

    def add(self, made: MadeBlock) -> None:
        """Count a block."""
        self.documents += made.documents
        self.sentences += made.sentences
        self.sequences += made.sequences.num_rows
        self.corpus_tokens += made.corpus_tokens
        self.tokens += made.tokens
        self.unknown_tokens += made.unknown_tokens


@dataclass
class Finished:
    """What the whole shards of one folder hold: the blocks before `blocks`."""

    blocks: int
    counts: Counts
    shards: list[Shard]
    test_bytes: int  # of the test data, which come from the documents held out

    @classmethod
    def read(cls, content: dict[str, Any]) -> "Finished":
        """From the journal's JSON; an error of whatever kind where it is not what was written."""
        shards = [Shard(**shard) for shard in content["shards"]]
        return cls(content["blocks"], Counts(**content["counts"]), shards, content["test_bytes"])


class PreprocessOutput:
    """The three folders of the step; what an earlier run left in them goes when there are sequences to replace it."""

    def __init__(self, config: Any, tokenizer: PreTrainedTokenizerFast, identity: dict[str, str], checksum: str):
        """identity: what must be equal to go on with the shards of an interrupted run. checksum: of the settings."""
        self.config, self.tokenizer, self.identity, self.checksum = config, tokenizer, identity, checksum
        self.folders = {kind: getattr(config, name) for name, kind in KINDS.items()}
        self.writers: dict[bool, SequenceWriter] = {}
        self.finished = {kind: Finished(0, Counts(), [], 0) for kind in self.folders}
        self.counts = {kind: Counts() for kind in self.folders}
        self.waiting: list[MadeBlock] = []
        self.test_file: TextIO | None = None
        self.locks = ExitStack()

    def __enter__(self) -> "PreprocessOutput":
        with ExitStack() as locks:  # let go of again if a later folder is refused
            for name in (*KINDS, "test_data"):
                make_folder(name, getattr(self.config, name))
                locks.enter_context(RunLock(getattr(self.config, name)))
            self._go_on()
            self.locks = locks.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except OSError:
            if kind is None:
                raise
        finally:
            self.locks.close()

    def missing(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks that no whole shard holds."""
        return (block for block in blocks if block.index >= self.finished[block.held_out].blocks)

    def add(self, made: MadeBlock) -> None:
        """Write what a block became, as soon as there is something to train on."""
        self.waiting.append(made)
        is_trained_on = made.sequences.num_rows > 0 and not made.held_out
        if is_trained_on or self.test_file is not None or self.finished[False].blocks:
            self._write_waiting()

    def total(self) -> Counts:
        """Of all blocks, also of those that an interrupted run had made."""
        return Counts(*map(sum, zip(*map(dataclasses.astuple, self.counts.values()), strict=True)))

    def close(self) -> None:
        """Close the files; the folders stay half-written until `complete`."""
        if self.test_file is not None:
            self.test_file.close()
        for writer in self.writers.values():
            writer.close()

    def complete(self) -> None:
        """Close the files and write what makes the folders whole: tokenizer, step.json and, last, metadata.json."""
        if self.test_file is None and self.counts[False].sequences:  # all shards were there
            self.test_file = self._begin()
        for made in self.waiting:
            self.counts[made.held_out].add(made)
        self.close()
        self._check()
        config = self.config
        inputs = {"corpus": config.corpus, "tokenizer": config.tokenizer}
        write_step(config.sequences, "preprocess", config, inputs, of_files=False)
        for folder in (config.held_out, config.test_data):
            shutil.copyfile(config.sequences / STEP_FILE, folder / STEP_FILE)
        for held_out, folder in self.folders.items():
            self.tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)
            write_metadata(folder, self._metadata(held_out))
        (config.test_data / UNFINISHED_TEST_FILE).replace(config.test_data / TEST_FILE)
        (config.sequences / JOURNAL).unlink(missing_ok=True)

    def _unfinished_test_file(self) -> Path:
        """The test data so far; they have the name of whole ones where a run was killed when it had renamed them."""
        files = [self.config.test_data / name for name in (UNFINISHED_TEST_FILE, TEST_FILE)]
        return next((file for file in files if file.is_file()), files[0])

    def _go_on(self) -> None:
        """Take over the whole shards that an interrupted run with the same settings and text has left."""
        try:
            content = json.loads((self.config.sequences / JOURNAL).read_text(encoding="utf-8"))
            finished = {kind: Finished.read(content[name]) for name, kind in KINDS.items()}
            is_ours = content["identity"] == self.identity
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        test_file = self._unfinished_test_file()
        there = test_file.is_file() and test_file.stat().st_size >= finished[True].test_bytes
        whole = all(shard.is_whole(self.folders[kind]) for kind in finished for shard in finished[kind].shards)
        if not (is_ours and there and whole):
            return
        self.finished = finished
        self.counts = {kind: dataclasses.replace(of.counts) for kind, of in finished.items()}
        shards = sum(len(of.shards) for of in finished.values())
        sequences = sum(of.counts.sequences for of in finished.values())
        print(f"going on after {shards} whole shards with {sequences} sequences", flush=True)

    def _write_waiting(self) -> None:
        if self.test_file is None:
            self.test_file = self._begin()
        for made in self.waiting:
            self.counts[made.held_out].add(made)
            self.test_file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in made.test_rows)
            if made.sequences.num_rows and self.writers[made.held_out].write(made.sequences):
                self._note_finished(made)
        self.waiting.clear()

    def _begin(self) -> TextIO:
        """Clear the folders of all but the shards taken over, and open their files; of these the one for test data."""
        schema = sequence_schema(len(self.tokenizer))
        if not any(of.blocks for of in self.finished.values()):
            (self.config.sequences / JOURNAL).unlink(missing_ok=True)
        for kind, folder in self.folders.items():
            self.writers[kind] = SequenceWriter(folder, schema, self.finished[kind].shards)
        unfinished = self.config.test_data / UNFINISHED_TEST_FILE
        if (found := self._unfinished_test_file()).is_file():
            found.replace(unfinished)
        for name in (STEP_FILE, TEST_FILE):
            (self.config.test_data / name).unlink(missing_ok=True)
        stream = unfinished.open("a", encoding="utf-8")
        stream.truncate(self.finished[True].test_bytes)
        return stream

    def _note_finished(self, made: MadeBlock) -> None:
        """Write down that a shard is whole."""
        assert self.test_file is not None
        self.test_file.flush()
        kind, size = made.held_out, (self.config.test_data / UNFINISHED_TEST_FILE).stat().st_size
        shards = list(self.writers[kind].shards)
        self.finished[kind] = Finished(made.index + 1, dataclasses.replace(self.counts[kind]), shards, size)
        journal = {name: dataclasses.asdict(self.finished[kind]) for name, kind in KINDS.items()}
        write_json(self.config.sequences / JOURNAL, {"identity": self.identity} | journal)

    def _check(self) -> None:
        if not self.counts[False].sequences and self.counts[True].sequences:
            raise InputError(
                f"held_out_fraction is {self.config.held_out_fraction}, which holds out all documents with sentences; "
                "give a lower one, or more documents."
            )
        if not self.counts[False].sequences:
            raise InputError("corpus: no sentence is left without lists, tables and headings; give running text.")
        if self.config.held_out_fraction and not self.counts[True].sequences:
            raise InputError(
                "corpus: it is one document, or several that are equal, and none can be held out; "
                "put blank lines between documents, or give --held_out_fraction 0."
            )

    def _metadata(self, held_out: bool) -> Metadata:
        counts = dataclasses.asdict(self.counts[held_out])
        del counts["unknown_tokens"]  # which says something of the tokenizer, in the log
        return Metadata(
            **counts,
            vocab_size=len(self.tokenizer),
            max_seq_length=self.config.max_seq_length,
            tokenizer_fingerprint=hub.fingerprint(self.tokenizer),
            configuration_checksum=self.checksum,
            shards=tuple(self.writers[held_out].shards),
        )
