"""`azureml-local check`: job, component and endpoint files against Azure ML's rules, offline."""

import argparse
import sys
from pathlib import Path

from azureml_local.checks import ERROR, Located, azure_files, check_file
from azureml_local.checks.report import as_json, as_text
from azureml_local.errors import InputError
from azureml_local.exit_status import FAILED


def check(options: argparse.Namespace) -> int:
    """Print what is wrong with the files; 1 where there are errors, or warnings with `--strict`."""
    found: set[Located] = set()
    checked = 0
    for path in _files(options.files):
        problems = check_file(path)
        if problems is None:
            if path in options.files:
                print(f"{path}: not checked: it is of a kind that no rule is about", file=sys.stderr)
            continue
        checked += 1
        found.update(problems)
    ordered = sorted(found)
    print(as_json(ordered) if options.format == "json" else as_text(ordered, checked))
    failed = any(one.severity == ERROR or options.strict for one in ordered)
    return FAILED if failed else 0


def _files(paths: list[Path]) -> list[Path]:
    files = []
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}.")
        files += azure_files(path) if path.is_dir() else [path]
    return files
