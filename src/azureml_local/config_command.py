"""`azureml-local config`: the file by which `MLClient.from_config` knows its workspace."""

import argparse
import json
from pathlib import Path

from azureml_local.errors import InputError
from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE

CONFIG = {"subscription_id": SUBSCRIPTION, "resource_group": RESOURCE_GROUP, "workspace_name": WORKSPACE}
PLACE = Path(".azureml", "config.json")  # below a folder: where the SDK looks from there and from the folders in it


def config(options: argparse.Namespace) -> int:
    """Write the file below a folder; one that names another workspace is left alone."""
    file: Path = options.folder / PLACE
    if not options.folder.is_dir():
        raise InputError(f"there is no folder {options.folder}")
    if file.exists() and _read(file) != CONFIG:
        raise InputError(f"{file} names another workspace; move it away, or give another folder")
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
    print(file)
    return 0


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
