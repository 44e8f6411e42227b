"""Components and environments as the SDK registers them -> the model of a job."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from azureml_local.arm_ids import short_name
from azureml_local.assets import Assets
from azureml_local.node_bodies import (
    compute_of,
    distribution_of,
    instances_of,
    node_outputs,
    node_values,
    seconds_of,
    sweep_of,
    texts,
    writable,
)
from azureml_local.spec import Component, Environment, Graph, Node, Port, SpecError

Json = dict[str, Any]

ANONYMOUS = "azureml_anonymous"
DEEPEST = 20  # graphs in graphs; a component cannot hold itself, but a body can say anything
# An environment of a registry, or one that Azure provides in every workspace.
_CURATED = re.compile(
    r"azureml:/?/?/?registries/[^/]+/environments/(?P<name>[^/]+)/.*|(?:azureml:)?AzureML-(?P<own>[^:@]+)[:@].*"
)


class NotSpokenError(SpecError):
    """A job that Azure ML runs and the local workspace does not; its text is the thing that is not spoken."""


class Components:
    """Reads nodes and their components, with the code and the environment that they refer to."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def nodes(self, bodies: Json, around: str = "", depth: int = 0) -> dict[str, Node]:
        """The nodes of a pipeline or of a graph; around: the full name of the graph's node, with a dot.

        Raises SpecError, naming node and field, and NotSpokenError for types of nodes that we do not speak.
        """
        if depth > DEEPEST:
            raise SpecError(f'node "{around[:100]}...": pipeline components lie more than {DEEPEST} deep in each other')
        return {name: self._node(name, _mapping(body, around + name), around, depth) for name, body in bodies.items()}

    def environment(self, reference: str) -> Environment:
        """What a reference to an environment means; one of a registry is looked for by name in the workspace."""
        name = short_name(reference)
        found = self._assets.find("environments", reference)
        if not found and (match := _CURATED.fullmatch(reference)):
            name = reference
            found = self._assets.latest("environments", match["name"] or match["own"])
        if not found:
            return Environment(name=name)
        said = found.body["properties"]
        build = said.get("build") or {}
        context = self._assets.locate(build["contextUri"]) if build.get("contextUri") else None
        return Environment(
            name="" if said.get("isAnonymous") else f"{found.name}:{found.version}",
            image=said.get("image") or "",
            conda=said.get("condaFile") or "",
            dockerfile=(build.get("dockerfilePath") or "Dockerfile") if build else "",
            build_context=context,
        )

    def code(self, reference: str | None) -> Path | None:
        """The folder of a code asset."""
        return self._assets.locate(reference) if reference else None

    def graph(self, reference: str) -> Graph:
        """The pipeline component that a whole job is. Raises SpecError for any other."""
        component = self._component("the job", reference, "", 0)
        if not isinstance(component, Graph):
            name = short_name(reference)
            raise SpecError(f"the job, component: {name} is a command; a pipeline job takes a pipeline component")
        return component

    def _node(self, name: str, body: Json, around: str, depth: int) -> Node:
        where = f'node "{around}{name}"'
        kind = body.get("type")
        if kind not in ("command", "pipeline", "sweep"):
            raise NotSpokenError(f'nodes of type "{kind}" ({where})')
        trial = body.get("trial") if kind == "sweep" else body.get("componentId")
        reference = trial.get("componentId") if isinstance(trial, dict) else trial
        job_name = str(uuid4())
        return Node(
            name=name,
            job_name=job_name,
            component=self._component(where, str(reference), around + name, depth),
            inputs=node_values(body.get("inputs"), where, self._assets),
            writable=writable(body.get("inputs")),
            outputs=node_outputs(body.get("outputs"), where, job_name, self._assets),
            distribution=distribution_of(body.get("distribution")),
            environment_variables=texts(body.get("environment_variables")),
            instance_count=instances_of(body.get("resources")),
            timeout=seconds_of((body.get("limits") or {}).get("timeout"), f"{where}, limits.timeout"),
            sweep=sweep_of(body, where) if kind == "sweep" else None,
            display_name=body.get("display_name") or "",
            description=body.get("description") or "",
            tags=texts(body.get("tags")),
            properties=texts(body.get("properties")),
            compute=compute_of(body.get("computeId") or body.get("compute")),
        )

    def _component(self, where: str, reference: str, around: str, depth: int) -> Component | Graph:
        if "/registries/" in reference:
            raise NotSpokenError(f"registries ({where}, component {reference})")
        found = self._assets.find("components", reference)
        if not found:
            raise SpecError(f"{where}, component: the local workspace has no component {short_name(reference)}")
        body = found.body["properties"]["componentSpec"]
        if body.get("type") == "pipeline":
            return Graph(
                name=found.name,
                version=found.version,
                inputs=_ports(body.get("inputs")),
                outputs=_ports(body.get("outputs")),
                nodes=self.nodes(body.get("jobs") or {}, f"{around}.", depth + 1),
                display_name=body.get("display_name") or "",
            )
        if body.get("type") != "command":
            raise NotSpokenError(f'components of type "{body.get("type")}" as nodes ({where})')
        return Component(
            name=found.name,
            version=found.version,
            command=body["command"],
            code=self.code(body.get("code")),
            environment=self.environment(body.get("environment") or ""),
            inputs=_ports(body.get("inputs")),
            outputs=_ports(body.get("outputs")),
            distribution=distribution_of(body.get("distribution")),
            instance_count=instances_of(body.get("resources")),
            environment_variables=texts(body.get("environment_variables")),
            is_deterministic=str(body.get("is_deterministic", True)).lower() != "false",
            display_name=body.get("display_name") or "",
            digest=self._digest(body),
        )

    def _digest(self, body: Json) -> str:
        """Of all that a component says, with its code's content in place of the code's address."""
        said = {key: value for key, value in body.items() if key not in ("code", "environment")}
        if said.get("name") == ANONYMOUS:
            del said["name"]
            said.pop("version", None)
        if reference := body.get("code"):
            code = self._assets.find("codes", reference)
            content = code and (code.body["properties"].get("properties") or {}).get("hash_sha256")
            said["code"] = content or reference
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _ports(bodies: Json | None) -> dict[str, Port]:
    return {name: _port(name, _mapping(body, name)) for name, body in (bodies or {}).items()}


def _port(name: str, body: Json) -> Port:
    limits = {key: body.get(key) for key in ("default", "min", "max")}
    default, minimum, maximum = (None if value is None else str(value) for value in limits.values())
    return Port(
        name=name,
        type=body.get("type", "string"),
        optional=str(body.get("optional", "")).lower() == "true",
        default=default,
        minimum=minimum,
        maximum=maximum,
        choices=tuple(str(choice) for choice in body.get("enum") or ()),
    )


def _mapping(body: object, where: str) -> Json:
    if not isinstance(body, dict):
        raise SpecError(f'"{where}" is {body!r:.60}; expected a mapping of fields')
    return body
