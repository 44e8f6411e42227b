"""Writes the sample data: `python sample_data/generate.py`, or with `--check` compares it with what is on disk.

Everything follows from `facts/` and `templates/`; the same input gives the same bytes.
"""

import argparse
import json
import sys
from pathlib import Path

from writing.cloze import write_cloze
from writing.documents import write_corpus
from writing.glue import write_glue
from writing.pairs import write_pairs
from writing.vocabulary import train_vocabulary

ROOT = Path(__file__).resolve().parent
TOKENIZER_CONFIG = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}


def generate() -> dict[str, str]:
    """The text of every file by its path below `sample_data/`."""
    corpus = write_corpus()
    glue = write_glue(corpus)
    vocabulary = train_vocabulary([*corpus.values(), *glue.values()])
    return {
        **{f"corpus/{name}": text for name, text in corpus.items()},
        **{f"glue/{name}": text for name, text in glue.items()},
        **{f"test_data/{name}": text for name, text in write_cloze(corpus).items()},
        **{f"minimal_pairs/{name}": text for name, text in write_pairs(corpus).items()},
        "tokenizer/vocab.txt": "\n".join(vocabulary) + "\n",
        "tokenizer/tokenizer_config.json": json.dumps(TOKENIZER_CONFIG, indent=2) + "\n",
    }


def differences(files: dict[str, str], root: Path) -> list[str]:
    """What is missing, different or too much on disk, one line a file."""
    folders = {path.split("/")[0] for path in files}
    there = {
        path.relative_to(root).as_posix() for name in folders for path in (root / name).rglob("*") if path.is_file()
    }
    lines = [f"{name} is not written by the generator" for name in sorted(there - files.keys())]
    for name, text in files.items():
        if name not in there:
            lines.append(f"{name} is missing")
        elif (root / name).read_bytes() != text.encode():
            lines.append(f"{name} differs")
    return lines


def write(files: dict[str, str], root: Path) -> None:
    """Every file below the root, with the same line endings on every system."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="Write nothing; end with status 1 if files differ.")
    check = parser.parse_args().check
    files = generate()
    if not check:
        write(files, ROOT)
    for line in (found := differences(files, ROOT)):
        print(line)
    print(f"{len(files)} files, {sum(len(text.encode()) for text in files.values()):,} bytes")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
