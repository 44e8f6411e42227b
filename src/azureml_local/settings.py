"""How a workspace runs jobs; chosen when it is started."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What `azureml-local up` and the workspace's own process take."""

    max_parallel: int | None = None  # nodes that run together; None: as many as there are cores
    build_environments: bool = False  # give each job an environment of its own, made from its requirements

    @classmethod
    def of(cls, options: argparse.Namespace) -> Settings:
        """The settings in parsed options."""
        return cls(options.max_parallel, options.build_environments)

    def arguments(self) -> list[str]:
        """The command line that has these settings."""
        parallel = ["--max-parallel", str(self.max_parallel)] if self.max_parallel else []
        return [*parallel, *(["--build-environments"] if self.build_environments else [])]


DEFAULTS = Settings()


def add_settings(parser: Any) -> None:
    """Add the settings to a parser, or to a group of one."""
    parser.add_argument(
        "--max-parallel", type=_count, metavar="N", help="how many nodes run together (default: one for each core)"
    )
    parser.add_argument(
        "--build-environments",
        action="store_true",
        help="run each job in a virtual environment made from its conda file or requirements, and not in this one",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000, got {text!r}")
    return int(text)
