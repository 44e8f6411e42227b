"""What is written in several places says the same in all of them."""

import ast
import dataclasses
import importlib
import os
import re
import shutil
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest
import yaml

from bert_distillation.errors import InputError
from conftest import ROOT

STEPS = ["preprocess", "pretrain", "distill", "finetune", "evaluate", "probe", "report", "compare", "export"]
PIPELINES_OF_STEPS = ["measure_model"]
COMPONENTS = sorted(ROOT.glob("components/*.yml"))
PIPELINES = sorted(ROOT.glob("pipelines/*.yml"))
COMPONENT_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
FOLDERS = {"uri_folder", "uri_file", "mlflow_model"}


def config_of(step: str) -> type:
    module = importlib.import_module(f"bert_distillation.{step}")
    return getattr(module, f"{step.capitalize()}Config")


def component(step: str) -> dict:
    return yaml.safe_load((ROOT / "components" / f"{step}.yml").read_text())


def field_types(config: type) -> dict[str, tuple[type, bool]]:
    """field -> (its type, whether it may be None)"""
    found = {}
    for name, hint in typing.get_type_hints(config).items():
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        found[name] = (next(part for part in parts if part is not type(None)), type(None) in parts)
    return found


def test_every_step_has_a_component_and_every_component_a_step():
    assert sorted(path.stem for path in COMPONENTS) == sorted([*STEPS, *PIPELINES_OF_STEPS])


@pytest.mark.parametrize("step", STEPS)
def test_component_and_dataclass_have_the_same_names_types_and_defaults(step):
    spec, fields = component(step), {field.name: field for field in dataclasses.fields(config_of(step))}
    ports = spec["inputs"] | spec["outputs"]
    assert set(ports) == set(fields)
    for name, (kind, may_be_none) in field_types(config_of(step)).items():
        port, default = ports[name], fields[name].default
        if kind is Path:
            assert port["type"] in FOLDERS, name
            assert port.get("optional", False) is (may_be_none and name in spec["inputs"]), name
            continue
        assert port["type"] == COMPONENT_TYPES[kind], name
        if default in ("", dataclasses.MISSING):
            assert "default" not in port, name
            assert port.get("optional", False) is (default == ""), name
        else:
            assert port["default"] == default, name
            assert type(port["default"]) is kind, name


@pytest.mark.parametrize("step", STEPS)
def test_the_command_has_one_flag_for_each_port_and_optional_ones_in_brackets(step):
    spec = component(step)
    ports = spec["inputs"] | spec["outputs"]
    start, *flags = re.split(r" (?=--|\$\[\[--)", spec["command"].strip())
    assert start == f"python -m bert_distillation.{step}"
    expected = []
    for name, port in ports.items():
        kind = "inputs" if name in spec["inputs"] else "outputs"
        quote = "'" if name.endswith("_params") else '"'  # those hold JSON
        value = f"${{{{{kind}.{name}}}}}"
        value = f"{quote}{value}{quote}" if port["type"] == "string" else value
        flag = f"--{name} {value}"
        expected.append(f"$[[{flag}]]" if port.get("optional") else flag)
    assert flags == expected


def refusal(step: str, name: str, value: object) -> str:
    """What a step says of a value of one setting, if it refuses it as out of its range or not of its choices."""
    fields = [field for field in dataclasses.fields(config_of(step)) if field.default is dataclasses.MISSING]
    required = {field.name: "cola" if field.name == "task" else Path(field.name) for field in fields}
    try:
        config_of(step)(**required | {name: value})
    except InputError as error:
        return str(error) if re.match(f"{name} must be (at|between|above|positive|one of)", str(error)) else ""
    return ""


@pytest.mark.parametrize("step", STEPS)
def test_the_bounds_of_a_number_are_those_that_the_step_itself_has(step):
    for name, port in component(step)["inputs"].items():
        if port["type"] not in ("integer", "number"):
            continue
        near = 1 if port["type"] == "integer" else 1e-9
        for bound, outwards in ("min", -1), ("max", 1):
            if bound in port:  # which is itself no value where 0 is none
                assert refusal(step, name, port[bound] + outwards * near), (name, bound)
                assert not refusal(step, name, port[bound] - outwards * near), (name, bound)
            else:
                assert not refusal(step, name, outwards * 10**9), (name, bound)


@pytest.mark.parametrize("step", STEPS)
def test_the_choices_of_a_text_are_those_that_the_step_itself_has(step):
    for name, port in component(step)["inputs"].items():
        said = refusal(step, name, "no such choice") if port["type"] == "string" else ""
        assert bool(said) is ("enum" in port), name
        if said:
            assert f"one of {', '.join(port['enum'])}, got" in said


@pytest.mark.parametrize("step", STEPS)
def test_descriptions_are_the_help_of_the_flags(step):
    spec, config = component(step), config_of(step)
    for field in dataclasses.fields(config):
        assert (spec["inputs"] | spec["outputs"])[field.name]["description"] == field.metadata["help"], field.name


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_binds_only_what_exists(path):
    pipeline = yaml.safe_load(path.read_text())
    for node, job in pipeline["jobs"].items():
        spec = yaml.safe_load((path.parent / job["component"]).read_text())
        assert set(job.get("inputs", {})) <= set(spec["inputs"]), node
        required = {n for n, p in spec["inputs"].items() if not p.get("optional") and "default" not in p}
        assert required <= set(job.get("inputs", {})), node
        assert set(job.get("outputs", {})) <= set(spec["outputs"]), node
    text = path.read_text()
    assert set(re.findall(r"parent\.inputs\.(\w+)", text)) == set(pipeline["inputs"])
    assert set(re.findall(r"parent\.outputs\.(\w+)", text)) == set(pipeline["outputs"])
    for node, output in re.findall(r"parent\.jobs\.(\w+)\.outputs\.(\w+)", text):
        source = yaml.safe_load((path.parent / pipeline["jobs"][node]["component"]).read_text())
        assert output in source["outputs"]


def test_the_published_hyperparameters_are_the_defaults_of_the_real_pipeline():
    inputs = yaml.safe_load((ROOT / "pipelines/distilbert.yml").read_text())["inputs"]
    published = {"alpha_ce": 5.0, "alpha_mlm": 2.0, "alpha_cos": 1.0, "temperature": 2.0, "learning_rate": 0.0005}
    published |= {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 50, "num_train_epochs": 3}
    published |= {"process_count": 8, "max_seq_length": 512, "teacher_name": "google-bert/bert-base-uncased"}
    assert {name: inputs[name] for name in published} == published


def test_the_sdk_loads_every_file():
    from azure.ai.ml import (
        load_component,
        load_compute,
        load_environment,
        load_job,
        load_online_deployment,
        load_online_endpoint,
    )

    loaders = {
        "components/*.yml": load_component,
        "pipelines/*.yml": load_job,
        "environments/*/environment.yml": load_environment,
        "environments/*cluster*.yml": load_compute,
        "endpoints/*/endpoint*.yml": load_online_endpoint,
        "endpoints/*/deployment*.yml": load_online_deployment,
    }
    loaded = set()
    for pattern, load in loaders.items():
        paths = sorted(ROOT.glob(pattern))
        assert paths, pattern
        for path in paths:
            load(path)
        loaded |= set(paths)
    conda = set(ROOT.glob("environments/*/conda.yml"))
    folders = ("components", "pipelines", "environments", "endpoints")
    assert {path for folder in folders for path in (ROOT / folder).rglob("*.yml")} == loaded | conda


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory) -> Path:
    """`src` as a job gets it: without what `.amlignore` names."""
    from azure.ai.ml._utils._asset_utils import AmlIgnoreFile, get_ignore_file, get_object_hash, traverse_directory

    source, target = ROOT / "src", tmp_path_factory.mktemp("snapshot")
    ignore = get_ignore_file(source)
    assert isinstance(ignore, AmlIgnoreFile)
    assert get_object_hash(source, ignore)
    for folder, _, names in os.walk(source):
        for path, _name in traverse_directory(folder, names, prefix="", ignore_file=ignore):
            copy = target / os.path.relpath(path, source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return target


def test_a_job_gets_the_steps_and_nothing_else(snapshot):
    names = {path.name for path in snapshot.iterdir() if path.name != ".amlignore"}
    assert names == {"bert_distillation"}
    assert not list(snapshot.rglob("__pycache__"))


@pytest.mark.parametrize("step", STEPS)
def test_every_step_explains_itself_from_the_snapshot(step, snapshot):
    result = subprocess.run(
        [sys.executable, "-P", "-m", f"bert_distillation.{step}", "--help"],
        cwd=snapshot,
        env=os.environ | {"PYTHONPATH": str(snapshot), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert all(f"--{field.name} " in result.stdout for field in dataclasses.fields(config_of(step)))


def imports(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it; of our own packages with the submodule."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            own = node.module in ("bert_distillation", "azureml_local")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if own else {node.module}
    return found


def test_the_two_packages_do_not_know_each_other():
    for path in ROOT.glob("src/bert_distillation/**/*.py"):
        used = {name.split(".")[0] for name in imports(path)}
        assert not used & {"azureml_local", "azure"}, path
    for path in ROOT.glob("src/azureml_local/**/*.py"):
        used = {name.split(".")[0] for name in imports(path)}
        assert not used & {"bert_distillation", "torch", "transformers", "datasets"}, path


def test_pure_modules_import_no_shared_one_and_no_step_imports_another():
    package = ROOT / "src" / "bert_distillation"
    pure = ["sentence_pairs", "masking", "packing", "attention", "vocabulary", "losses", "student", "glue"]
    pure += ["masked_lm", "row_kernels", "sentences"]
    allowed = {f"bert_distillation.{name}" for name in [*pure, "errors"]}
    for name in pure:
        own = {module for module in imports(package / f"{name}.py") if module.startswith("bert_distillation")}
        assert own <= allowed, name
    steps = {f"bert_distillation.{step}" for step in STEPS}
    for path in package.glob("*.py"):
        assert not imports(path) & (steps - {f"bert_distillation.{path.stem}"}), path


def test_serving_a_graph_needs_neither_mlflow_nor_torch():
    """To import them costs seconds, at the start of an endpoint or, worse, in its first request."""
    heavy = "{'mlflow', 'datasets', 'torch', 'transformers', 'onnx'}"
    script = f"import sys, bert_distillation.score, bert_distillation.onnx_runner; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


LAYERS = {  # a package of the local workspace -> what else of the workspace it may import
    "spec": set(),
    "expressions": {"spec"},
    "guardian": set(),
    "processes": {"guardian"},
    "store": set(),
    "identity": {"disk"},
    "environments": {"spec", "processes"},
    "checks": {"spec", "expressions", "arm_ids", "traffic"},
    "engine": {"spec", "expressions", "environments", "processes", "home", "disk", "settings"},
    "serving": {"processes"},
    "no_code": set(),
}
WEB_FRAMEWORKS = {"fastapi", "uvicorn", "starlette"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_of_the_workspace_imports_those_below_it_and_no_other(layer: str):
    package = ROOT / "src" / "azureml_local"
    files = [*(package / layer).rglob("*.py")] or [package / f"{layer}.py"]
    used = {name for file in files for name in imports(file)}
    own = {name.split(".")[1] for name in used if name.startswith("azureml_local.")}
    assert own - {layer, "errors"} <= LAYERS[layer]
    assert not {name.split(".")[0] for name in used} & WEB_FRAMEWORKS


def test_only_rest_and_the_server_speak_http_and_rest_starts_no_process():
    package = ROOT / "src" / "azureml_local"
    for path in package.rglob("*.py"):
        libraries = {name.split(".")[0] for name in imports(path)}
        within = path.relative_to(package).parts[0]
        assert within in ("rest", "server.py", "mlflow_rest.py") or not libraries & WEB_FRAMEWORKS, path
        assert within != "rest" or not libraries & {"subprocess", "multiprocessing"}, path
