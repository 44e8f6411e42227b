"""What the SDK says of a job beside its component -> the model of a job: values, outputs, limits, search spaces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from azureml_local.arm_ids import NAME, NAME_RULE, short_name
from azureml_local.assets import Assets
from azureml_local.spec import Data, Distribution, Output, Port, SpecError, Sweep, Value

Json = dict[str, Any]

MOST_TRIALS = 1000
LONGEST = 100_000_000  # seconds of a time limit, three years: no clock here goes on for ever
_WRITABLE = {"rwmount", "readwritemount", "download", "direct", "evalmount", "evaldownload"}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
# In the order of the arguments that the search space of a sweep job has.
_PARAMETERS = ("min_value", "max_value", "mu", "sigma", "upper", "q")


def values(inputs: Json | None, where: str, assets: Assets) -> dict[str, Value | None]:
    """Inputs as given: literals, data, or None where one has no value. Raises SpecError, naming the input."""
    return {name: _value(given, f'{where}input "{name}"', assets) for name, given in (inputs or {}).items()}


def node_values(inputs: Json | None, where: str, assets: Assets) -> dict[str, Value]:
    """The inputs of a node that have a value."""
    given = values(inputs, f"{where}, ", assets)
    return {name: value for name, value in given.items() if value is not None}


def writable(inputs: Json | None) -> frozenset[str]:
    """The inputs whose mode lets a job change what it finds; by default they are mounted to be read only."""
    modes = {name: given.get("mode") for name, given in (inputs or {}).items() if isinstance(given, dict)}
    return frozenset(name for name, mode in modes.items() if str(mode).lower().replace("_", "") in _WRITABLE)


def given_ports(inputs: Json | None) -> dict[str, Port]:
    """The interface that a stand-alone job's inputs imply."""
    kinds = {name: given.get("jobInputType", "literal") for name, given in (inputs or {}).items() if given}
    return {name: Port(name=name, type="string" if kind == "literal" else kind) for name, kind in kinds.items()}


def node_outputs(outputs: Json | None, where: str, job: str, assets: Assets) -> dict[str, Output]:
    """What a job says of its outputs: where they are bound to, lie, and as what they are registered.

    Raises SpecError, naming the output, for a place that is not in the workspace, a name that no asset can have, and a
    version that is taken.
    """
    return {
        name: _output(name, given or {}, f'{where}, output "{name}"'.removeprefix(", "), job, assets)
        for name, given in (outputs or {}).items()
    }


def distribution_of(body: Json | None) -> Distribution | None:
    """How many processes start the command, by either spelling of the fields."""
    if not body:
        return None
    kind = body.get("distribution_type") or body.get("distributionType") or body.get("type") or ""
    count = body.get("process_count_per_instance") or body.get("processCountPerInstance") or 1
    return Distribution(type=kind.lower(), process_count=str(count))


def instances_of(resources: Json | None) -> int | None:
    """The machines that a job asks for, by either spelling of the field; None where it does not say."""
    count = str((resources or {}).get("instance_count") or (resources or {}).get("instanceCount"))
    return int(count) if count.isdecimal() and len(count) < 6 else None


def texts(variables: Json | None) -> dict[str, str]:
    """Environment variables, tags and the like."""
    return {name: str(value) for name, value in (variables or {}).items()}


def compute_of(compute: object) -> str:
    """The name of a compute; empty where none is given, or an input of the pipeline says which."""
    name = short_name(str(compute or ""))
    return "" if "${{" in name else name


def seconds_of(duration: object, where: str) -> float | None:
    """The seconds of a time limit: a number, or ISO 8601 such as PT1H30M. Raises SpecError for anything else."""
    if duration is None:
        return None
    text = str(duration)
    match = _DURATION.fullmatch(text)
    if match and any(match.groups()):
        days, hours, minutes, rest = (float(part or 0) for part in match.groups())
        limit = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    else:
        try:
            limit = float(text)
        except ValueError:
            limit = 0
    if not 0 < limit <= LONGEST:
        raise SpecError(f'{where}: expected a number of seconds from 1 to {LONGEST}, got "{text}"')
    return limit


def sweep_of(body: Json, where: str) -> Sweep:
    """The sweep that a node or a sweep job asks for. Raises SpecError, naming the field."""
    limits, objective = body.get("limits") or {}, body.get("objective") or {}
    algorithm = body.get("sampling_algorithm") or body.get("samplingAlgorithm") or "random"
    sampling = algorithm if isinstance(algorithm, dict) else {"type": algorithm}
    kind = sampling.get("samplingAlgorithmType") or sampling.get("type") or "random"
    space = body.get("search_space") or body.get("searchSpace") or {}
    metric = objective.get("primary_metric") or objective.get("primaryMetric")
    if not space or not metric:
        raise SpecError(f"{where}: a sweep needs a search_space and an objective with its primary_metric")
    trials = _count(limits, "max_total_trials", "maxTotalTrials", where, MOST_TRIALS)
    seed = sampling.get("seed")
    if seed is not None and not str(seed).lstrip("-").isdecimal():
        raise SpecError(f'{where}, sampling_algorithm.seed: expected a whole number, got "{seed}"')
    return Sweep(
        search_space={name: _distribution(said, f'{where}, search_space, "{name}"') for name, said in space.items()},
        sampling=str(kind).lower(),
        seed=None if seed is None else int(seed),
        primary_metric=metric,
        maximize=str(objective.get("goal")).lower() == "maximize",
        max_trials=trials,
        max_concurrent=_count(limits, "max_concurrent_trials", "maxConcurrentTrials", where, trials),
        timeout=seconds_of(limits.get("timeout"), f"{where}, limits.timeout"),
        trial_timeout=seconds_of(
            limits.get("trial_timeout", limits.get("trialTimeout")), f"{where}, limits.trial_timeout"
        ),
        ends_early=bool(body.get("early_termination") or body.get("earlyTermination")),
    )


def _count(limits: Json, name: str, other_name: str, where: str, default: int) -> int:
    said = [limits[key] for key in (name, other_name) if limits.get(key) is not None]
    given = said[0] if said else default
    if not str(given).isdecimal() or not 1 <= int(given) <= MOST_TRIALS:
        raise SpecError(f'{where}, limits.{name}: expected a whole number from 1 to {MOST_TRIALS}, got "{given}"')
    return int(given)


def _distribution(said: Any, where: str) -> tuple[str, tuple[str, ...]]:
    """`{"type": "uniform", "min_value": 0, "max_value": 1}`, or `["uniform", [0, 1]]` as a sweep job has it."""
    match said:
        case ["choice", [[*parameters]]]:
            kind = "choice"
        case [str(kind), [*parameters]] if kind != "choice":
            pass
        case {"type": "choice", "values": [*parameters]}:
            kind = "choice"
        case {"type": str(kind)} if kind != "choice":
            parameters = [said[name] for name in _PARAMETERS if name in said]
        case str() | int() | float():
            kind, parameters = "choice", [said]
        case _:
            kind, parameters = "", []
    if not parameters:
        raise SpecError(f"{where}: expected a distribution with its parameters, got {said!r:.100}")
    return kind, tuple(str(parameter) for parameter in parameters)


def _value(given: Json | str | None, where: str, assets: Assets) -> Value | None:
    if not isinstance(given, dict):
        return None if given is None else str(given)
    if uri := given.get("uri"):
        try:
            return Data(path=assets.path_of(uri), address=uri)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None
    value = given.get("value")
    return None if value is None else str(value)


def _output(name: str, given: Json, where: str, job: str, assets: Assets) -> Output:
    kind = given.get("jobOutputType") or given.get("job_output_type") or ""
    asset_name, version = given.get("assetName") or given.get("name"), given.get("assetVersion") or given.get("version")
    place: Path | None = None
    try:
        uri = str(given.get("uri") or "")
        if uri and not assets.is_of_other_job(uri, job):  # sent again, a job that was read would write into itself
            place = assets.place(uri, {"name": job, "output_name": name})
        for field, text in (("name", asset_name), ("version", version)):
            if text and not NAME.fullmatch(str(text)):
                raise SpecError(f'"{text!s:.80}" cannot be the {field} of an asset: {NAME_RULE}')
        if asset_name and version:
            assets.check_free(kind, str(asset_name), str(version))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return Output(
        target=str(given.get("value") or ""),
        type=kind,
        place=place,
        asset_name=str(asset_name or ""),
        asset_version=str(version or ""),
    )
