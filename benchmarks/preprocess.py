"""How fast `preprocess` is, beside the `datasets.map` that everyone writes and beside the bare tokenizer.

    python benchmarks/preprocess.py [--corpus DIR --tokenizer DIR] [--rounds 3] [--json FILE]

Each takes all cores and a process tree of its own, one after the other, round after round; the table shows medians, and
ratios within a round. Tokens are word pieces of the text. The time begins after the imports and, for the bare tokenizer
alone, after the text is in memory; `whole` is the step's time from the start of its process to its end. Memory is the
largest process's, at its peak.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

SAMPLES = Path(__file__).parent.parent / "sample_data"
BATCH = 1000  # documents, the default of `datasets.map`
LOADERS = {".jsonl": "json", ".txt": "text", ".parquet": "parquet"}
BARE = "encode_batch"


def step(corpus: Path, tokenizer: Path, folder: Path) -> Iterator[int | None]:
    """The whole step: clean, split, tokenize, pair, write."""
    from bert_distillation.preprocess import PreprocessConfig, preprocess
    from bert_distillation.sequences import read_metadata

    yield None
    outputs = {name: folder / name for name in ("sequences", "held_out", "test_data")}
    preprocess(PreprocessConfig(corpus=corpus, tokenizer=tokenizer, **outputs))
    yield sum(read_metadata(outputs[name]).corpus_tokens for name in ("sequences", "held_out"))


def datasets_map(corpus: Path, tokenizer: Path, folder: Path) -> Iterator[int | None]:
    """Load the files and tokenize them in batches, one process a core."""
    import datasets
    import pyarrow.compute as pc

    from bert_distillation import hub
    from bert_distillation.cores import available_cores
    from bert_distillation.corpus import corpus_files

    datasets.disable_progress_bars()
    files = [str(path) for path in corpus_files(corpus) if _loader(path)]
    fast = hub.load_tokenizer(tokenizer, "", of="tokenizer")
    yield None
    loaded = datasets.load_dataset(_loader(Path(files[0])), data_files=files, split="train", cache_dir=str(folder))
    mapped = loaded.map(
        lambda batch: fast(batch["text"], add_special_tokens=False, verbose=False),
        batched=True,
        batch_size=BATCH,
        num_proc=available_cores(),
        remove_columns=loaded.column_names,
    )
    yield pc.sum(pc.list_value_length(mapped.data.column("input_ids"))).as_py()


def encode_batch(corpus: Path, tokenizer: Path, _: Path, method: str = BARE) -> Iterator[int | None]:
    """The tokenizer on text in memory; its threads take all cores and its result is dropped."""
    from bert_distillation import hub
    from bert_distillation.corpus import read_folder

    encode = getattr(hub.load_tokenizer(tokenizer, "", of="tokenizer").backend_tokenizer, method)
    texts = list(read_folder(corpus))
    yield None
    parts = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    yield sum(len(encoding) for part in parts for encoding in encode(part, add_special_tokens=False))


def encode_batch_fast(corpus: Path, tokenizer: Path, folder: Path) -> Iterator[int | None]:
    """The tokenizer without the places of the word pieces in the text."""
    return encode_batch(corpus, tokenizer, folder, "encode_batch_fast")


CONTENDERS: dict[str, Callable[[Path, Path, Path], Iterator[int | None]]] = {
    "preprocess": step,
    "datasets.map": datasets_map,
    BARE: encode_batch,
    "encode_batch_fast": encode_batch_fast,
}


def contend(name: str, corpus: Path, tokenizer: Path) -> None:
    """Do one contender's work in this process; say when it begins and ends, and wait to be measured."""
    results = sys.stdout
    sys.stdout = sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        for tokens in CONTENDERS[name](corpus, tokenizer, Path(folder)):
            print(json.dumps(tokens), file=results, flush=True)
            sys.stdin.readline()


class Memory(threading.Thread):
    """Samples the resident memory of a process and of those below it."""

    def __init__(self, process: psutil.Process):
        super().__init__(daemon=True)
        self.process, self.peak = process, 0

    def run(self) -> None:
        """Sample until the process ends."""
        while self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
            self.peak = max(self.peak, *(_measure(each, lambda p: p.memory_info().rss) for each in _tree(self.process)))
            time.sleep(0.1)


def measure(name: str, corpus: Path, tokenizer: Path) -> dict[str, Any]:
    """A row of one contender's run."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--contender", name, "--corpus", str(corpus), "--tokenizer", str(tokenizer)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdin
    assert child.stdout
    process = psutil.Process(child.pid)
    memory = Memory(process)
    memory.start()
    marks = []
    for line in child.stdout:
        marks.append((time.perf_counter(), _cpu_seconds(process), json.loads(line)))
        child.stdin.write("\n")
        child.stdin.flush()
    if child.wait() or len(marks) != 2:
        raise SystemExit(f"{name} ended with status {child.returncode}; run {' '.join(command[1:])} to see why.")
    (begin, cpu_before, _), (end, cpu_after, tokens) = marks
    return {
        "contender": name,
        "tokens": tokens,
        "seconds": end - begin,
        "whole_seconds": end - start,
        "cpu_seconds": cpu_after - cpu_before,
        "peak_mb": memory.peak / 2**20,
        "tokens_per_second": tokens / (end - begin),
        "whole_tokens_per_second": tokens / (end - start),
        "tokens_per_cpu_second": tokens / (cpu_after - cpu_before),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """Medians of each contender, and the median ratio to the bare tokenizer of the same round."""
    shown = Table("", "tokens/s", "to bare", "whole", "a CPU-second", "peak MB", title=f"bare: {BARE}")
    for column in shown.columns[1:]:
        column.justify = "right"
    bare = [row["tokens_per_second"] for row in rows if row["contender"] == BARE]
    for name in CONTENDERS:
        own = [row for row in rows if row["contender"] == name]
        ratios = [row["tokens_per_second"] / rate for row, rate in zip(own, bare, strict=True)]
        fields = ("tokens_per_second", "whole_tokens_per_second", "tokens_per_cpu_second", "peak_mb")
        rate, whole, cpu, peak = (f"{statistics.median(row[field] for row in own):,.0f}" for field in fields)
        shown.add_row(name, rate, f"{statistics.median(ratios):.2f}", whole, cpu, peak)
    return shown


def main() -> None:
    options = _parser().parse_args()
    if options.contender:
        contend(options.contender, options.corpus, options.tokenizer)
        return
    rows = []
    for number in range(1, options.rounds + 1):
        for name in CONTENDERS:
            rows.append(measure(name, options.corpus, options.tokenizer) | {"round": number})
            print(f"[{number}/{options.rounds}] {name}: {rows[-1]['tokens_per_second']:,.0f} tokens/s", file=sys.stderr)
            if options.json:
                options.json.write_text(json.dumps(rows, indent=2) + "\n")
    Console().print(table(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=SAMPLES / "corpus", help="folder of files of one kind")
    parser.add_argument("--tokenizer", type=Path, default=SAMPLES / "tokenizer", help="folder of the tokenizer")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser


def _loader(path: Path) -> str | None:
    return LOADERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *_measure(process, lambda p: p.children(recursive=True), [])]


def _measure(process: psutil.Process, what: Callable[[psutil.Process], Any], gone: Any = 0) -> Any:
    try:
        return what(process)
    except psutil.Error:  # it ended meanwhile
        return gone


def _cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and of all below it, those that ended included."""
    return sum(_measure(each, lambda p: sum(p.cpu_times()[:4])) for each in _tree(process))


if __name__ == "__main__":
    main()
