"""Rules about numbers and places that the service refuses: shares of traffic, places of outputs, search spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azureml_local.checks import kinds
from azureml_local.checks.field_shapes import is_number, is_whole
from azureml_local.checks.field_table import SPACES
from azureml_local.checks.sections import IN_A_DATASTORE, Section, is_to_be_filled_in
from azureml_local.checks.table import ERROR, Finding, rule
from azureml_local.expressions import Reference, references, shown
from azureml_local.spec import SpecError
from azureml_local.traffic import check_traffic

MACROS = ("${{name}}", "${{output_name}}", "${{default_datastore}}")
SHARES = ("traffic", "mirror_traffic")


@rule(Section, "bad-traffic", ERROR, "The shares of an endpoint's traffic are such as can be served.")
def bad_traffic(section: Section) -> Iterator[Finding]:
    """They add up to 0 or 100; copies of at most half go to one deployment that answers nobody."""
    if section.kind != kinds.ENDPOINT:
        return
    shares = {field: section.mapping(field) for field in SHARES}
    given = [(field, name, share) for field in SHARES for name, share in shares[field].items()]
    if any(is_to_be_filled_in(str(share)) for _, _, share in given):
        return
    wrong = [(field, name) for field, name, share in given if not is_whole(share)]
    for field, name in wrong:
        message = f'the share of "{name}" is a whole number of per cent, got "{shown(str(shares[field][name]))}"'
        yield Finding(section.at(field, name), message)
    if wrong:
        return
    traffic, copies = ({name: int(share) for name, share in shares[field].items()} for field in SHARES)
    try:
        check_traffic("", {*traffic, *copies}, traffic, copies)
    except SpecError as error:
        field, _, sentence = str(error).partition(": ")
        yield Finding(section.at(field), sentence)


@rule(Section, "bad-output-place", ERROR, "The place of an output is in a datastore.")
def bad_output_place(section: Section) -> Iterator[Finding]:
    """A path of this machine is not there where the job runs."""
    for name, output in section.mapping("outputs").items() if section.kind in kinds.WITH_OUTPUTS else ():
        place = output.get("path") if isinstance(output, Mapping) else None
        if not isinstance(place, str) or place.startswith("${{") or is_to_be_filled_in(place):
            continue
        if odd := [one for one in references(place) if not _is_of_a_place(one)]:
            message = f"{odd[0].written(place)} stands for nothing in the place of an output; there are"
            yield Finding(section.at("outputs", name, "path"), f"{message} {', '.join(MACROS)}")
        elif section.local(place) is not None or (place.startswith("azureml:") and not IN_A_DATASTORE.fullmatch(place)):
            message = f"an output lies in a datastore, as azureml://datastores/workspaceblobstore/paths/{name}/, not at"
            yield Finding(section.at("outputs", name, "path"), f'{message} "{shown(place)}"')


def _is_of_a_place(reference: Reference) -> bool:
    """Whether an expression stands for something in the place of an output; a pipeline's own inputs do."""
    return reference.parts[0] == "parent" or f"${{{{{reference.path}}}}}" in MACROS


@rule(Section, "bad-sweep", ERROR, "A sweep has a search space that can be sampled.")
def bad_sweep(section: Section) -> Iterator[Finding]:
    """A grid is made of choices, and a range has two ends."""
    if section.kind != kinds.SWEEP_JOB and kinds.node_type(section.fields) != "sweep":
        return
    algorithm = section.fields.get("sampling_algorithm")
    is_grid = (algorithm.get("type") if isinstance(algorithm, Mapping) else algorithm) == "grid"
    for name, space in section.mapping("search_space").items():
        if isinstance(space, Mapping):
            message = _unsampled(space, is_grid)
            if message:
                yield Finding(section.at("search_space", name), message)


def _unsampled(space: Mapping[str, Any], is_grid: bool) -> str:
    """Why values cannot be drawn; empty where they can."""
    if not isinstance(space.get("type"), str):
        return ""
    kind = space["type"].lower()
    if is_grid and kind != "choice":
        return f'a grid needs choices, and this is "{shown(space["type"])}"; list its values, or sample at random'
    wanted = SPACES.get(kind, ())
    if odd := sorted(set(space) ^ {*wanted, "type"}) if wanted else []:
        verb = "needs" if odd[0] in wanted else "has no"
        return f'the distribution "{kind}" {verb} "{odd[0]}": it is given by {", ".join(wanted)}'
    if space.get("values") == []:
        return "there is no choice: list the values"
    ends = space.get("min_value"), space.get("max_value")
    numbers = [float(end) for end in ends if end is not None and is_number(end)]
    if len(numbers) == len(ends) and numbers[0] >= numbers[1]:
        return f"min_value must be below max_value, got {ends[0]} and {ends[1]}"
    return ""
