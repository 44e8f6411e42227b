"""Turn text into sequences of sentence pairs, `[CLS] A [SEP] B [SEP]`, with a part of the documents held out."""

import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import sys
import textwrap
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.blocks import Block, BlockMaker, MadeBlock, Recipe, make_blocks
from bert_distillation.cores import available_cores
from bert_distillation.corpus import corpus_files, read_corpus
from bert_distillation.errors import InputError
from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.options import (
    check_at_least,
    check_outputs,
    check_seed,
    option,
    required,
    run_step,
)
from bert_distillation.outputs import writing
from bert_distillation.preprocess_output import Counts, PreprocessOutput
from bert_distillation.sequences import open_sequences

OUTPUTS = ("sequences", "held_out", "test_data")
BERT_POSITIONS = 512  # the limit where a tokenizer does not state its model's
SECONDS_BETWEEN_LINES = 10  # of progress, where there is no terminal
MANY_UNKNOWN = 0.01  # of the tokens
SHOWN = 300  # characters of a sequence
BLOCKS_WORTH_PROCESSES = 16  # starting a process takes as long as making about as many blocks
# Settings that say where and how, not what.
NOT_SHAPING = {"corpus", "tokenizer", "tokenizer_name", *OUTPUTS, "num_workers"}


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """Interface of `python -m bert_distillation.preprocess`."""

    sequences: Path = required("Folder for the token sequences.")
    held_out: Path = required("Folder for the sequences of the documents held out.")
    test_data: Path = required("Folder for test_data.jsonl: sentences held out, one word masked, and the word.")
    corpus: Path | None = option(None, "Folder of txt, jsonl or parquet files; it wins over the names.")
    corpus_names: str = option(
        "bookcorpus/bookcorpus,wikimedia/wikipedia:20231101.en",
        "Data sets on the hub, name[:config][@revision], separated by commas.",
    )
    tokenizer: Path | None = option(None, "Folder of the tokenizer; vocab.txt alone will do. It wins over the name.")
    tokenizer_name: str = option(hub.BERT, "Hub name of the tokenizer, name[@revision].")
    max_seq_length: int = option(512, "Tokens of a sequence at most, special tokens included.")
    sentences_per_document: int = option(128, "Rows that make a document where rows are sentences (BookCorpus).")
    held_out_fraction: float = option(0.01, "Share of the documents to hold out, chosen by a hash of their text.")
    seed: int = option(0, "Seed of the pairs.")
    num_workers: int = option(0, "Processes that make sequences; 0 takes all cores.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        check_at_least(self, 8, "max_seq_length")
        check_at_least(self, 1, "sentences_per_document")
        check_at_least(self, 0, "num_workers")
        if not 0 <= self.held_out_fraction < 1:
            raise InputError(f"held_out_fraction must be at least 0 and below 1, got {self.held_out_fraction}.")
        check_seed(self)
        check_outputs(self, *OUTPUTS)


def preprocess(config: PreprocessConfig) -> None:
    """Read the corpus once and write sequences, held-out sequences and test data."""
    tokenizer = hub.load_tokenizer(config.tokenizer, config.tokenizer_name, of="tokenizer")
    hub.require_all_ids(tokenizer, of="tokenizer")
    check_max_seq_length(config.max_seq_length, tokenizer)
    log_parameters(config)
    documents = read_corpus(config.corpus, config.corpus_names, config.sentences_per_document)
    recipe = Recipe.of(tokenizer, config.max_seq_length, config.seed)
    checksum = configuration_checksum(config)
    identity = {"settings": checksum, "tokenizer": hub.fingerprint(tokenizer), "corpus": corpus_stamp(config.corpus)}
    with PreprocessOutput(config, tokenizer, identity, checksum) as output, Progress() as progress:
        blocks = output.missing(make_blocks(documents, config.held_out_fraction))
        for made in make_in_order(recipe, blocks, config.num_workers or available_cores()):
            with writing(config.sequences):
                output.add(made)
            progress.add(made)
        with writing(config.sequences):
            output.complete()
    sample = str(tokenizer.decode(open_sequences(config.sequences)[0]["input_ids"]))
    print(f"a sequence: {textwrap.shorten(sample, SHOWN, placeholder=' ...')}", flush=True)
    progress.report(output.total())


def check_max_seq_length(max_seq_length: int, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse sequences longer than the tokenizer's model can read."""
    limit, why = tokenizer.model_max_length, "the most that the tokenizer's model reads"
    if limit >= 2**16:  # a tokenizer that states none says 1e30
        limit, why = BERT_POSITIONS, "as BERT has positions (state model_max_length in tokenizer_config.json for more)"
    if max_seq_length > limit:
        raise InputError(f"max_seq_length must be at most {limit}, {why}, got {max_seq_length}.")


def make_in_order(recipe: Recipe, blocks: Iterator[Block], num_workers: int) -> Iterator[MadeBlock]:
    """What becomes of the blocks, in their order; a few blocks are made without starting processes."""
    begin = list(itertools.islice(blocks, BLOCKS_WORTH_PROCESSES))
    blocks = itertools.chain(begin, blocks)
    if num_workers == 1 or len(begin) < BLOCKS_WORTH_PROCESSES:
        yield from map(BlockMaker(recipe).make, blocks)
        return
    # Forked from a process that has only imported what a worker needs: imports are paid once, and no thread is cut off.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bert_distillation.blocks"])
    pool = ProcessPoolExecutor(num_workers, context, _start_worker, (recipe,))
    try:
        # Few blocks wait at a time: memory stays flat however large the corpus is.
        waiting: deque[Future[MadeBlock]] = deque()
        for block in blocks:
            waiting.append(pool.submit(_make, block))
            if len(waiting) > 2 * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise InputError(
            f"A worker process died, most often for lack of memory; lower --num_workers (now {num_workers})."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_maker: BlockMaker  # of a worker process


def _start_worker(recipe: Recipe) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes already take the cores
    global _maker
    _maker = BlockMaker(recipe)


def _make(block: Block) -> MadeBlock:
    return _maker.make(block)


def configuration_checksum(config: PreprocessConfig) -> str:
    """A checksum of the settings that shape the sequences; text and tokenizer have checksums of their own."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in NOT_SHAPING}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def corpus_stamp(folder: Path | None) -> str:
    """Names, sizes and times of a corpus folder's files as a checksum: whether an interrupted run read the same."""
    if folder is None:
        return ""
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in corpus_files(folder)]
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


class Progress:
    """A bar on a terminal, else a line now and then; rates at the end. Tokens are word pieces of the text."""

    def __init__(self) -> None:
        self.counts, self.start = Counts(), time.monotonic()
        self.has_terminal, self.last_line = sys.stderr.isatty(), self.start
        self.bar = tqdm(unit=" documents", disable=not self.has_terminal)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = max(time.monotonic() - self.start, 1e-9)
        self.bar.close()

    def add(self, made: MadeBlock) -> None:
        """Count a block and show it."""
        self.counts.add(made)
        self.bar.update(made.documents)
        now = time.monotonic()
        if not self.has_terminal and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            rate = self.counts.documents / (now - self.start)
            print(f"{self.counts.documents} documents | {rate:.1f} documents/s", file=sys.stderr, flush=True)

    def report(self, total: Counts) -> None:
        """One line and the MLflow metrics; counts are of all that the folders hold, rates of what this run made."""
        documents_per_second = self.counts.documents / self.seconds
        tokens_per_second = self.counts.corpus_tokens / self.seconds
        counts = dataclasses.asdict(total)
        unknown_share = total.unknown_tokens / max(total.tokens, 1)
        print(
            "{documents} documents, {sentences} sentences, {corpus_tokens} tokens -> "
            "{sequences} sequences of {tokens} tokens".format(**counts)
            + f" | {unknown_share:.2%} [UNK]"
            + f" | {documents_per_second:.1f} documents/s | {tokens_per_second / 1000:.1f}k tokens/s",
            flush=True,
        )
        if unknown_share > MANY_UNKNOWN:
            print(
                f"warning: {unknown_share:.1%} of the tokens are [UNK], of which a model learns nothing: "
                "give a tokenizer whose vocabulary is of such text.",
                flush=True,
            )
        rates = {"documents_per_second": documents_per_second, "tokens_per_second": tokens_per_second}
        log_metrics(counts | rates)


if __name__ == "__main__":
    run_step(PreprocessConfig, preprocess)
