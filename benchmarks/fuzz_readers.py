"""Spoil what the readers read, thousands of times each: whatever comes, they read it or say why not.

    python benchmarks/fuzz_readers.py [--cases 10000] [--seed 0] [--only READER] [--jobs 2]

Each case is a good file with a few bytes, lines or values changed. A reader passes if it returns or raises its own
error within seconds and in bounded memory; anything else is shown with the seed of its case, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz_targets import Reader

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
SECONDS = 10  # for a case
MEMORY = 8 * 2**30  # of address space, for all of a process
SHOWN = 5  # failures of a reader
ODD_BYTES = [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b'"', b"{", b"[", b"}", b"]", b",", b":", b"-"]
ODD_BYTES += [
    b"9" * 400,
    b"[" * 3000,
    b"1e999",
    b"NaN",
    b"null",
    b"\\ud800",
    "\u202e\u05d0".encode(),
    b"%s",
    b"${{",
    b"&a",
    b"*a",
]
ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    float("nan"),
    "",
    "x" * 5000,
    "\ud800",
    [],
    {},
    [[]],
    {"": {}},
]
ODD_VALUES += ["../../etc", "[MASK]" * 50, ["a", 1, None], {"a": [1]}, "9" * 5000, -0.0, "\x00"]


def spoil_bytes(content: bytes, draw: random.Random) -> bytes:
    """The content with a few parts changed, moved, repeated, cut off or put in."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place, size = draw.randrange(len(data) + 1), draw.choice((1, 1, 3, 20, 200))
        kind = draw.randrange(6)
        if kind == 0 and data:
            data[min(place, len(data) - 1)] = draw.randrange(256)
        elif kind == 1:
            del data[place : place + size]
        elif kind == 2:
            data[place:place] = draw.choice(ODD_BYTES)
        elif kind == 3:
            other = draw.randrange(len(data) + 1)
            data[other:other] = data[place : place + size]
        elif kind == 4:
            del data[place:]
        else:
            data[place : place + size] = bytes(draw.randrange(256) for _ in range(size))
    return bytes(data)


def spoil_values(value: Any, draw: random.Random) -> Any:
    """The JSON value with one value, or one name, of it changed."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        name = draw.choice(list(value))
        if draw.random() < 0.1:
            return {key: other for key, other in value.items() if key != name}
        if draw.random() < 0.05:
            return {(f"{key}x" if key == name else key): other for key, other in value.items()}
        return value | {name: spoil_values(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        place = draw.randrange(len(value))
        return [*value[:place], spoil_values(value[place], draw), *value[place + draw.randrange(2) :]]
    return draw.choice(ODD_VALUES)


def spoil(content: bytes, draw: random.Random, structured: bool) -> bytes:
    """One case."""
    if structured and draw.random() < 0.7:
        lines = content.splitlines()
        place = draw.randrange(len(lines)) if len(lines) > 1 and lines[0].endswith(b"}") else None
        text = content if place is None else lines[place]
        spoilt = json.dumps(spoil_values(json.loads(text), draw)).encode()
        return spoilt if place is None else b"\n".join([*lines[:place], spoilt, *lines[place + 1 :]])
    return spoil_bytes(content, draw)


def run_case(reader: Reader, good: bytes, file: Path, draw: random.Random) -> str:
    """Read one spoilt file; says what went wrong, or nothing."""
    from bert_distillation.errors import InputError

    file.write_bytes(spoil(good, draw, reader.structured))

    def too_long(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        quietly(lambda: reader.read(file))
    except InputError as error:
        return "" if str(error).strip() and "\n" not in str(error).strip() else f"the error has many lines: {error!r}"
    except Exception:
        return traceback.format_exc(limit=-6)
    finally:
        signal.alarm(0)
    return ""


def quietly(work: Callable[[], Any]) -> Any:
    """What the work gives, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return work()


def fuzz(name: str, cases: int, seed: int) -> tuple[str, list[str], float, float]:
    """All cases of a reader: the failures, and the seconds of all and of the longest."""
    from fuzz_targets import readers

    failures, longest, start = [], 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        reader = quietly(lambda: readers(Path(temporary) / "inputs"))[name]
        file = reader.prepare(Path(temporary) / "case")
        good = file.read_bytes()
        for case in range(cases):
            begun = time.monotonic()
            failure = run_case(reader, good, file, random.Random(f"{seed} {name} {case}"))
            took = time.monotonic() - begun
            longest = max(longest, took)
            if took >= SECONDS and not failure:
                failure = f"it took {took:.0f} s"
            if failure:
                failures.append(f"{name}, case {case}: {failure}")
    return name, failures, time.monotonic() - start, longest


def limit_memory() -> None:
    """So that a reader which takes all memory fails, and not the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def names_of_readers() -> list[str]:
    """What `--only` takes."""
    from fuzz_targets import readers

    with tempfile.TemporaryDirectory() as temporary:
        return list(quietly(lambda: readers(Path(temporary) / "inputs")))


def main() -> int:
    """Fuzz and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = names_of_readers()
    if options.only and options.only not in names:
        parser.error(f"--only {options.only!r} is no reader; there are {', '.join(names)}")
    bad = 0
    with ProcessPoolExecutor(options.jobs, initializer=limit_memory) as pool:
        todo = [pool.submit(fuzz, name, options.cases, options.seed) for name in names if options.only in (None, name)]
        for one in todo:
            name, failures, seconds, longest = one.result()
            bad += len(failures)
            print(
                f"{name}: {options.cases} cases, {len(failures)} failed, {seconds:.0f} s, longest {longest:.2f} s",
                flush=True,
            )
            for failure in failures[:SHOWN]:
                print(failure, flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
