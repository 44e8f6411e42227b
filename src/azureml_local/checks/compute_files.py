"""The machine of a node's compute, where a compute file near the job's says which it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from azureml_local.checks.sections import is_file
from azureml_local.checks.yaml_tree import UnreadableError, read

MOST_FILES = 200
HEAD = 4096  # bytes in which a compute file names its type


def instance_types(job: Path, node: Mapping[str, Any], default_compute: object) -> tuple[str, ...]:
    """The machines that a node may run on: those of all files that define its compute, or the one that it names."""
    resources = node.get("resources")
    named = resources.get("instance_type") if isinstance(resources, Mapping) else None
    if isinstance(named, str):
        return (named,)
    compute = node.get("compute") or default_compute
    if not isinstance(compute, str) or "${{" in compute:
        return ()
    name = compute.removeprefix("azureml:")
    if name.lower().startswith("standard_"):
        return (name,)
    return tuple(machine for known, machine in _computes(job.parent.resolve()) if known == name)


@lru_cache(maxsize=64)
def _computes(folder: Path) -> tuple[tuple[str, str], ...]:
    """Name and machine of every compute file in the folder, beside it and in the folders beside it."""
    found = []
    for path in islice(filter(is_file, _candidates(folder)), MOST_FILES):  # a pipe would be waited for
        try:
            with path.open("rb") as file:
                if b"amlcompute" not in file.read(HEAD).lower():
                    continue
            value = read(path).value
        except (OSError, UnreadableError):
            continue
        if isinstance(value, Mapping) and isinstance(value.get("size"), str):
            found.append((str(value.get("name")), str(value["size"])))
    return tuple(found)


def _candidates(folder: Path) -> Iterator[Path]:
    for pattern in ("*.yml", "*.yaml"):
        yield from sorted(folder.glob(pattern))
        yield from sorted(folder.parent.glob(pattern))
        for name in ("compute", "computes", "environments", "infra", "clusters"):
            yield from sorted((folder / name).glob(pattern))
            yield from sorted((folder.parent / name).glob(pattern))
