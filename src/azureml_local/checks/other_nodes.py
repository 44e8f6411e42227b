"""What the fields of nodes that run no command hold, as the SDK's schemas have it, and the rules of these nodes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from azureml_local.checks.field_shapes import (
    ANYTHING,
    COUNT,
    NUMBER,
    TEXT,
    WHOLE,
    Each,
    Fields,
    Items,
    One,
    OrNothing,
    Shape,
    is_whole,
    near,
    words_of,
)
from azureml_local.checks.field_table import INLINE, NODE_FIELDS, RESOURCES, USED
from azureml_local.checks.kinds import CONTROL_FLOW, OTHER_NODE, node_type
from azureml_local.checks.sections import Section, exists
from azureml_local.checks.table import ERROR, Finding, rule

PREVIEW = "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED"
BATCH_SIZE = re.compile(r"\d+([kmg]b)*", re.IGNORECASE)
SPARK_MACHINES = tuple(f"standard_e{cores}s_v3" for cores in (4, 8, 16, 32, 64))
SPARK_CONF = {  # by its own names and by those of the SDK
    "spark.driver.cores": "driver_cores",
    "spark.driver.memory": "driver_memory",
    "spark.executor.cores": "executor_cores",
    "spark.executor.memory": "executor_memory",
    "spark.executor.instances": "executor_instances",
    "spark.dynamicAllocation.enabled": "dynamic_allocation_enabled",
    "spark.dynamicAllocation.minExecutors": "dynamic_allocation_min_executors",
    "spark.dynamicAllocation.maxExecutors": "dynamic_allocation_max_executors",
}
*_ALWAYS, _INSTANCES, _DYNAMIC, _LEAST, _MOST = SPARK_CONF
TASKS = (
    *("classification", "regression", "forecasting", "text_classification", "text_classification_multilabel"),
    *("text_ner", "image_classification", "image_classification_multilabel"),
    *("image_object_detection", "image_instance_segmentation"),
)
TABLE_TASKS = TASKS[:3]


def _one_of(*words: str) -> One:
    return One(
        lambda value: isinstance(value, str) and bool({*words_of(value)} & {*words}),
        lambda _: f"it is one of {', '.join(words)}",
    )


_SIZE = One(
    lambda value: isinstance(value, str) and BATCH_SIZE.fullmatch(value) is not None,
    lambda value: f'write "{value}" in quotes' if is_whole(value) else 'write a number in quotes, or a size as "10kb"',
)
_TASK = Fields(
    {
        "type": _one_of("run_function", "function", "model"),
        "environment": INLINE,
        **dict.fromkeys(("code", "entry_script", "program_arguments", "model", "append_row_to"), TEXT),
    },
    required=("type", "environment"),
    is_open=True,
)
_ENTRY = One(
    lambda value: isinstance(value, Mapping) and isinstance(value.get("file"), str),
    lambda _: "write file: NAME, relative to the code",
)
_SPARK_RESOURCES = Fields(
    {"instance_type": _one_of(*SPARK_MACHINES), "runtime_version": ANYTHING},
    required=("instance_type", "runtime_version"),
)
_RUN: dict[str, Shape] = {**NODE_FIELDS, "component": USED}

NODE_SHAPES: Mapping[str, Mapping[str, Shape]] = {
    "parallel": _RUN
    | {
        "environment_variables": Each(TEXT),
        "resources": RESOURCES,
        "task": _TASK,
        "mini_batch_size": _SIZE,
        "partition_keys": Items(TEXT),
        "input_data": TEXT,
        "logging_level": _one_of("debug", "info", "warning"),
        "retry_settings": Fields({"timeout": WHOLE, "max_retries": WHOLE}, is_open=True),
        "max_concurrency_per_instance": COUNT,
        **dict.fromkeys(("error_threshold", "mini_batch_error_threshold"), NUMBER),
    },
    "spark": _RUN
    | {
        "code": TEXT,
        "entry": _ENTRY,
        "conf": Each(ANYTHING),
        "environment": OrNothing(INLINE),
        "args": TEXT,
        "resources": _SPARK_RESOURCES,
        **dict.fromkeys(("py_files", "jars", "files", "archives"), Items(TEXT)),
    },
    "automl": {"task": _one_of(*TASKS)},
    "data_transfer": {"task": _one_of("copy_data", "import_data", "export_data")},
}
REQUIRED: Mapping[str, tuple[str, ...]] = {"parallel": ("task", "input_data"), "spark": ("entry",)}


def shapes_of_node(section: Section) -> Mapping[str, Shape]:
    """What the fields of a node that runs no command hold; nothing where its type has no rules."""
    return NODE_SHAPES.get(node_type(section.fields), {}) if section.kind == OTHER_NODE else {}


def unknown_in_node(section: Section) -> Iterator[Finding]:
    """Fields that the SDK drops without a word, or for which it asks for a component."""
    kind = node_type(section.fields)
    known = shapes_of_node(section)
    for name in section.fields if "inputs" in known else ():
        if name not in known:
            yield Finding(section.at(name), f'a {kind} node has no field "{name}"{near(name, set(known))}')


def missing_in_node(section: Section) -> Iterator[Finding]:
    """What a node without a component must have of its own."""
    kind, fields = node_type(section.fields), section.fields
    if section.kind != OTHER_NODE or "component" in fields:
        return
    called = f'the {kind} node "{section.where[-1]}"'
    for name in REQUIRED.get(kind, ()):
        if fields.get(name) in (None, ""):
            yield Finding(section.at(), f'{called} needs "{name}", or a component')
    if kind == "automl" and fields.get("task") in TABLE_TASKS and not fields.get("target_column_name"):
        yield Finding(section.at(), f'{called} needs "target_column_name"')


@rule(Section, "preview-node", ERROR, "A node is of a type that the SDK takes unless its preview is switched on.")
def preview_node(section: Section) -> Iterator[Finding]:
    """Control flow is written with the SDK's functions, or with the switch."""
    kind = node_type(section.fields)
    if section.kind == OTHER_NODE and kind in CONTROL_FLOW and os.environ.get(PREVIEW, "").lower() != "true":
        message = f"the SDK takes a node of type {kind} from a file only where {PREVIEW}=true is in its environment"
        yield Finding(section.at("type"), message)


@rule(Section, "bad-spark", ERROR, "A Spark node has its code, the cores and the memory of its machines, and a place.")
def bad_spark(section: Section) -> Iterator[Finding]:
    """The SDK's sentence on it says neither the node nor what is missing."""
    fields = section.fields
    if section.kind != OTHER_NODE or node_type(fields) != "spark":
        return
    called = f'the spark node "{section.where[-1]}"'
    if "component" not in fields and (missing := _missing_conf(section.mapping("conf"))):
        yield Finding(section.at(), f'{called} needs {", ".join(missing)} under "conf"')
    if bool(fields.get("compute")) == bool(fields.get("resources")):
        yield Finding(section.at(), f'{called} needs either "compute" or "resources", and not both')
    code, entry = section.local(fields.get("code")), section.mapping("entry").get("file")
    if code and exists(code) and isinstance(entry, str) and not exists(code / entry):
        yield Finding(section.at("entry", "file"), f"there is no file {code / entry}, with which {called} begins")


def _missing_conf(conf: Mapping[str, Any]) -> list[str]:
    """The settings that a Spark job must have and has not."""
    given = {name: conf.get(name, conf.get(other)) for name, other in SPARK_CONF.items()}
    is_dynamic = str(given[_DYNAMIC]).lower() == "true"
    wanted = [*_ALWAYS, *((_LEAST, _MOST) if is_dynamic else (_INSTANCES,))]
    return [name for name in wanted if given[name] is None]
