"""Rules about fields that hold one of a few words, as the SDK's schemas list them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azureml_local.checks import kinds
from azureml_local.checks.field_shapes import words_of
from azureml_local.checks.field_table import DISTRIBUTIONS, SERVICES, SPACES
from azureml_local.checks.kinds import TYPED, WITH_INPUTS
from azureml_local.checks.scopes import PATH_TYPES, nearest
from azureml_local.checks.sections import Section, is_to_be_filled_in
from azureml_local.checks.table import ERROR, Finding, Where, rule
from azureml_local.expressions import OPENS, shown

INPUT_MODES = ("download", "ro_mount", "direct")
TABLE_MODES = (*INPUT_MODES, "eval_mount", "eval_download")
OUTPUT_MODES = ("mount", "upload", "rw_mount", "direct")
ACCESS = ("enabled", "disabled")
IDENTITIES = ("system_assigned", "user_assigned", "none")
ANY = "*"  # every name of a mapping
SWEEPS = frozenset({kinds.SWEEP_JOB, kinds.NODE})
QUEUED = SWEEPS | {kinds.COMMAND_JOB, kinds.TRIAL}


@dataclass(frozen=True)
class Words:
    """What a field may hold."""

    sections: frozenset[str]  # the kinds of those that have it
    field: Where
    allowed: tuple[str, ...]
    read: Callable[[str], Collection[str]] = words_of  # what the SDK may take a text for


def as_written(text: str) -> tuple[str, ...]:
    """A word in whose letters the SDK forgives nothing."""
    return (text,)


def in_lower_case(text: str) -> tuple[str, ...]:
    """A word in any case, but with the parts of a joined one set apart."""
    return (text.lower(),)


def _type_of_an_asset(text: str) -> tuple[str, ...]:
    return (text.lower(),) if text.lower().endswith("_model") else (text,)


def _type_of_serving(text: str) -> tuple[str, ...]:
    """What is not "kubernetes" to the letter is read as managed."""
    return (text,) if text.lower() == "kubernetes" else words_of(text)


def _of(
    sections: set[str] | frozenset[str], field: str, *allowed: str, read: Callable[[str], Collection[str]] = words_of
) -> Words:
    return Words(frozenset(sections), tuple(field.split(".")), allowed, read)


TABLE = (
    _of({kinds.COMMAND_COMPONENT, kinds.COMMAND_JOB, kinds.TRIAL, kinds.NODE}, "distribution.type", *DISTRIBUTIONS),
    _of(
        {kinds.COMMAND_JOB, kinds.PIPELINE_JOB, kinds.SWEEP_JOB, kinds.NODE},
        "identity.type",
        *("managed", "managed_identity", "user_identity", "aml_token"),
    ),
    _of({kinds.ENDPOINT}, "identity.type", *IDENTITIES),
    _of({kinds.COMPUTE}, "identity.type", *IDENTITIES, "system_assigned,user_assigned"),
    _of({kinds.COMMAND_JOB, kinds.NODE}, f"services.{ANY}.type", *SERVICES, read=as_written),
    _of(QUEUED, "queue_settings.job_tier", "spot", "basic", "standard", "premium", "null"),
    _of(QUEUED, "queue_settings.priority", "low", "medium", "high"),
    _of({kinds.COMMAND_JOB, kinds.NODE}, f"services.{ANY}.nodes", "all", read=as_written),
    _of(SWEEPS, "objective.goal", "minimize", "maximize"),
    _of(SWEEPS, "sampling_algorithm", "random", "grid", "bayesian"),
    _of(SWEEPS, "sampling_algorithm.type", "random", "grid", "bayesian"),
    _of(SWEEPS, "sampling_algorithm.rule", "random", "sobol"),
    _of(SWEEPS, "early_termination.type", "bandit", "median_stopping", "truncation_selection"),
    _of(SWEEPS, f"search_space.{ANY}.type", *SPACES),
    _of({kinds.DEPLOYMENT}, "type", *sorted(kinds.SERVING_TYPES), read=_type_of_serving),
    _of({kinds.ENDPOINT}, "auth_mode", "key", "aml_token", "aad_token"),
    _of({kinds.ENDPOINT}, "public_network_access", *ACCESS),
    _of({kinds.DEPLOYMENT}, "egress_public_network_access", *ACCESS),
    _of({kinds.DEPLOYMENT}, "scale_settings.type", "default", "target_utilization"),
    _of({kinds.DEPLOYMENT}, "data_collector.rolling_rate", "minute", "hour", "day"),
    _of({kinds.DEPLOYMENT}, f"data_collector.collections.{ANY}.enabled", "true", "false"),
    _of({kinds.ENVIRONMENT}, "os_type", "linux", "windows"),
    _of({kinds.COMPUTE}, "tier", "dedicated", "low_priority"),
    _of({kinds.ASSET}, "type", *sorted(PATH_TYPES - {"path"}), read=_type_of_an_asset),
)


@rule(Section, "unknown-word", ERROR, "A field that holds one of a few words holds one of them.")
def unknown_word(section: Section) -> Iterator[Finding]:
    """Upper and lower case are the same for most of them."""
    for words in TABLE:
        for where, value in _values(section.fields, words.field) if section.kind in words.sections else ():
            yield from _refused(section.at(*where), value, words.allowed, words.read)
    read = as_written if section.kind in TYPED else in_lower_case
    for field in ("inputs", "outputs") if section.kind in WITH_INPUTS else ():
        for where, value in _values(section.fields, (field, ANY, "mode")):
            kind = section.mapping(field)[where[1]].get("type")
            modes = OUTPUT_MODES if field == "outputs" else TABLE_MODES if kind == "mltable" else INPUT_MODES
            yield from _refused(section.at(*where), value, modes, read)


def _values(value: Any, field: Where, way: Where = ()) -> Iterator[tuple[Where, Any]]:
    """What stands in a field, for each name where any is meant; a field that is not there has nothing."""
    if not field:
        if value is not None and not isinstance(value, Mapping):
            yield way, value
    elif isinstance(value, Mapping):
        for name in value if field[0] == ANY else field[:1] if field[0] in value else ():
            yield from _values(value[name], field[1:], (*way, name))


def _refused(
    where: Where, value: Any, allowed: tuple[str, ...], read: Callable[[str], Collection[str]]
) -> Iterator[Finding]:
    if isinstance(value, bool) and str(value).lower() in allowed:
        word = str(value).lower()
        yield Finding(where, f'{where[-1]} is the word "{word}", not the boolean: write it in quotes')
    elif not isinstance(value, str) or not _is_word(value, allowed, read):
        known = nearest(value, allowed) if isinstance(value, str) else ""
        known = known if known.endswith("?") else f"; it is one of {', '.join(allowed)}"
        yield Finding(where, f'{where[-1]} is "{shown(str(value))}"{known}')


def _is_word(text: str, allowed: tuple[str, ...], read: Callable[[str], Collection[str]]) -> bool:
    """Whether a text is one of the words, or to be made one."""
    return bool({*read(text)} & {*allowed}) or OPENS in text or is_to_be_filled_in(text)
