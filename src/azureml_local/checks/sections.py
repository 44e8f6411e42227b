"""A part of a YAML file that is something of its own: a job, a component, a node; and what its addresses mean."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azureml_local.checks.table import Where
from azureml_local.checks.yaml_tree import Document
from azureml_local.spec import Port

REGISTERED = re.compile(r"azureml:|[a-z][a-z0-9+.-]*://|/subscriptions/|runs:/|git\+", re.IGNORECASE)
IN_A_DATASTORE = re.compile(r"azureml://(?:subscriptions/.+/)?datastores/[^/]+/paths/.*", re.DOTALL)
NAME_AND_VERSION = re.compile(r"[\w.-]+[:@][\w.-]+")


@dataclass(frozen=True)
class Section:
    """One mapping of a file with its kind, one of `kinds`."""

    document: Document
    where: Where
    fields: Mapping[str, Any]
    kind: str
    taken: dict[str, Port] = field(default_factory=dict)  # what the component of a node takes

    def at(self, *fields: str) -> Where:
        """The way to a field of the section."""
        return (*self.where, *fields)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """The mapping under a field; empty where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, Mapping) else {}

    def local(self, address: object) -> Path | None:
        """The file or folder on this machine that an address means; None for any other address."""
        return local_path(self.document, address)


def local_path(document: Document, address: object) -> Path | None:
    """The path that an address in a file means: relative to the file. None where it means no path of this machine."""
    if not isinstance(address, str) or not address.strip() or "${{" in address or "\0" in address:
        return None
    address = address.removeprefix("file:")
    if REGISTERED.match(address) or is_to_be_filled_in(address):
        return None
    return Path(os.path.normpath(document.path.parent / address))


def is_absolute(address: str) -> bool:
    """Whether an address means the same path in whatever file it is written."""
    return Path(address.removeprefix("file:")).is_absolute()


def is_to_be_filled_in(text: str) -> bool:
    """Whether a text is one of a template's, such as <endpoint> or {{endpoint}}."""
    return "<" in text or "{{" in text.replace("${{", "")


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; an address that is no path, such as one too long, is none."""
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file."""
    return exists(path) and path.is_file()


def strings(value: Any, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Every text in a value, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from strings(inner, (*where, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, (*where, str(index)))
