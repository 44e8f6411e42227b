"""`azureml-local check`: job, component and endpoint files against Azure ML's rules, offline."""

import argparse
import sys
from pathlib import Path

from azureml_local.checks import ERROR, Located, azure_files, check_file, has_azure_schema
from azureml_local.checks.report import as_json, as_text
from azureml_local.errors import InputError
from azureml_local.exit_status import FAILED


def check(options: argparse.Namespace) -> int:
    """Print what is wrong with the files; 1 where there are errors, warnings with `--strict`, or a folder of none."""
    for path in options.files:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}.")
    found: set[Located] = set()
    checked: set[Path] = set()
    empty, passed_over = [], 0
    for path in options.files:
        files = azure_files(path) if path.is_dir() else [path]
        reports = {file: check_file(file) for file in files}
        known = {file: problems for file, problems in reports.items() if problems is not None}
        checked.update(known)
        found.update(*known.values())
        others = [file for file in files if file not in known and (path.is_file() or has_azure_schema(file))]
        if path.is_dir():
            passed_over += len(others)
            empty += [] if known or others else [path]
        elif others:
            print(f"{path}: not checked: it is of a kind that no rule is about", file=sys.stderr)
    ordered = sorted(found)
    print(as_json(ordered) if options.format == "json" else as_text(ordered, len(checked)))
    if passed_over:
        said = "1 file is of a kind" if passed_over == 1 else f"{passed_over} files are of kinds"
        print(f"{said} that no rule is about: not checked", file=sys.stderr)
    for folder in empty:  # most likely another one was meant
        print(f"azureml-local: {folder}: no file of Azure ML's is in this folder or below it.", file=sys.stderr)
    failed = any(one.severity == ERROR or options.strict for one in ordered)
    return FAILED if failed or empty else 0
