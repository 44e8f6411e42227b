"""What a job's environment asks for, and which of it the interpreter that runs the workspace does not have."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from azureml_local.environments.conda_files import read_conda_file
from azureml_local.environments.dockerfiles import read_dockerfile, read_image
from azureml_local.environments.requirements import Requirements, shown
from azureml_local.spec import Environment

_LOCAL = re.compile(r"\+[\w.]+")  # the part of a version that names a build of it
WAY_OUT = "a workspace that was started with --build-environments makes one that has them"


@dataclass(frozen=True)
class Readiness:
    """How far the workspace's interpreter is the environment that a job asks for."""

    unmet: tuple[str, ...]  # a sentence for each requirement that it does not meet
    notes: tuple[str, ...]  # what else differs from Azure
    warning: str  # one sentence for a person, empty where all that is known is met


def requirements_of(environment: Environment) -> Requirements:
    """All that an environment's files and its image's name tell."""
    wanted = Requirements()
    if environment.name and not (environment.dockerfile or environment.conda or environment.image):
        wanted.unknown = _unknown(environment)
    if environment.dockerfile:
        _read_context(environment, wanted)
    if environment.conda:
        read_conda_file(environment.conda, wanted)
    if environment.image:
        _read_image(environment, wanted)
    return wanted


def readiness(environment: Environment) -> Readiness:
    """Compare an environment with the workspace's interpreter, without looking outside this process."""
    wanted = requirements_of(environment)
    unmet = [*_python(wanted), *filter(None, map(_package, wanted.packages))]
    own = f"the job runs in the workspace's Python {platform.python_version()}"
    is_unknown = bool(wanted.unknown) and not environment.image
    told = [f"{wanted.unknown}; until then {own}"] if is_unknown else []
    told += [f"{_count(unmet)} not met ({_first(unmet)})"] if unmet else []
    told += [_first(wanted.refusals)] if wanted.refusals else [WAY_OUT] if unmet else []
    return Readiness(
        unmet=(*unmet, *wanted.refusals),
        notes=tuple(filter(None, (wanted.unknown, *wanted.notes))),
        warning=f'environment "{title(environment)}": {"; ".join(told)}' if told else "",
    )


def installed(environment: Environment) -> list[str]:
    """The workspace's interpreter and its versions of the packages that an environment asks for."""
    found = {f"python=={platform.python_version()}"}
    for line in requirements_of(environment).packages:
        with suppress(InvalidRequirement, metadata.PackageNotFoundError):
            name = Requirement(line.partition(" --hash")[0]).name
            found.add(f"{name}=={metadata.version(name)}")
    return sorted(found)


def title(environment: Environment) -> str:
    """What to call an environment in a sentence."""
    return shown(environment.name or environment.image or environment.dockerfile or "of the job")


def _count(sentences: list[str]) -> str:
    return f"{len(sentences)} requirement{'s are' if len(sentences) > 1 else ' is'}"


def _first(sentences: list[str]) -> str:
    """As many sentences as a person reads in a table."""
    return "; ".join(sentences[:3]) + ("; ..." if len(sentences) > 3 else "")


def _unknown(environment: Environment) -> str:
    name = re.split(r"[@:/]", re.sub(r".*environments/|^azureml:", "", environment.name))[0]
    place = "belongs to a registry" if environment.is_foreign else "is not in the local workspace"
    return f'it {place} and its packages are not known: register an environment "{shown(name)}" with its conda file'


def _read_context(environment: Environment, wanted: Requirements) -> None:
    if environment.build_context is None:
        wanted.refusals.append("the build context of its image is not on this machine")
    else:
        read_dockerfile(environment.build_context, environment.dockerfile, wanted)


def _read_image(environment: Environment, wanted: Requirements) -> None:
    """An image's Python and packages count where there is no file that lists them."""
    image = Requirements()
    is_bare = read_image(environment.image, image)
    wanted.refusals += image.refusals
    wanted.notes.append(f"the image {shown(environment.image)} is not used: jobs are processes of this machine")
    if not (environment.conda or environment.dockerfile):
        wanted.python = image.python
        wanted.unknown = "" if is_bare else f"what the image {shown(environment.image)} holds is not known here"


def _python(wanted: Requirements) -> list[str]:
    own = platform.python_version()
    if SpecifierSet(wanted.python).contains(own, prereleases=True):
        return []
    return [f"python{wanted.python}: {own} is installed"]


def _package(line: str) -> str:
    """What is wrong with a package here, or nothing; one that is known by its address only cannot be compared."""
    try:
        requirement = Requirement(line.partition(" --hash")[0])
    except InvalidRequirement:
        return f"{shown(line)}: not compared"
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return ""
    try:
        version = metadata.version(requirement.name)
        # 2.13.0+cpu does what 2.13.0+cu126 does where there is no GPU: builds of one version are not told apart.
        wanted = SpecifierSet(_LOCAL.sub("", str(requirement.specifier)))
        fits = wanted.contains(Version(version).public, prereleases=True)
    except metadata.PackageNotFoundError:
        return f"{shown(line)}: not installed"
    except (InvalidVersion, TypeError):  # an installation that is broken, or older than the rules for versions
        return f"{shown(line)}: not compared"
    return "" if fits else f"{shown(line)}: {version} is installed"
