"""`azureml-local check`: every rule finds its defect, in its line, and nothing else."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from azureml_local.checks import RULES, azure_files, check_file
from conftest import ROOT
from fine_files import FINE, NOT_CHECKED

DEFECTS = ROOT / "tests" / "defects"
ARROW = re.compile(r"^(?P<indent>\s*)(?P<wrong>.*?) # (?P<arrow>[-~])>(?P<right>.*)$")
OWN = [ROOT / name for name in ("components", "pipelines", "endpoints", "environments")]


@dataclass(frozen=True)
class Defect:
    """Files, the first of which is checked, with arrows from what is wrong in them to what is right."""

    rule: str
    files: dict[str, list[str]]

    def write(self, folder: Path, side: str) -> Path:
        """Write the files, with what is `wrong` or `right`; returns the one to check."""
        shutil.copytree(DEFECTS / "world", folder, dirs_exist_ok=True)
        for name, lines in self.files.items():
            (folder / name).write_text("\n".join(filter(None, (_side(line, side) for line in lines))) + "\n")
        return folder / next(iter(self.files))

    def place(self, folder: Path) -> tuple[Path, int]:
        """The file and the line of the arrow."""
        for name, lines in self.files.items():
            for number, line in enumerate(lines, 1):
                if (arrow := ARROW.match(line)) and arrow["arrow"] == "-":
                    return folder / name, number
        raise AssertionError(f"{self.rule}: no line has an arrow")


def _side(line: str, side: str) -> str:
    arrow = ARROW.match(line)
    if not arrow:
        return line
    text = arrow[side].strip()
    return f"{arrow['indent']}{text}" if text else ""


def defects() -> list[Defect]:
    """The table: the text files in `tests/defects`."""
    found = []
    for path in sorted(DEFECTS.glob("*.txt")):
        for text in path.read_text().split("==== ")[1:]:
            rule, _, body = text.partition("\n")
            first, *others = body.rstrip("\n").split("\n---- ")
            files = {"file.yml": first.split("\n")}
            files |= {name: rest.split("\n") for name, _, rest in (other.partition("\n") for other in others)}
            found.append(Defect(rule, files))
    return found


TABLE = defects()


@pytest.mark.parametrize("defect", TABLE, ids=[f"{index}-{one.rule}" for index, one in enumerate(TABLE)])
def test_a_rule_finds_its_defect_in_its_line_and_nothing_in_the_correction(defect: Defect, tmp_path: Path):
    found = check_file(defect.write(tmp_path / "wrong", "wrong"))
    assert found is not None
    assert [(one.rule, one.file, one.line) for one in found] == [(defect.rule, *defect.place(tmp_path / "wrong"))]
    assert found[0].severity == RULES[defect.rule].severity
    assert check_file(defect.write(tmp_path / "right", "right")) == []


def test_every_rule_has_a_defect_and_says_what_it_asks():
    assert {defect.rule for defect in TABLE} == set(RULES)
    for rule in RULES.values():
        assert rule.sentence.endswith("."), rule.name
        assert rule.check is None or rule.check.__doc__, rule.name


def test_our_own_files_are_without_findings():
    files = [file for folder in OWN for file in azure_files(folder)]
    assert len(files) > 15
    assert [str(one) for file in files for one in check_file(file) or []] == []


# What is wrong in the public samples, and is: see the sentence of each rule.
SAMPLES = {
    ("basics/hello-iris-literal.yml", "unused-input"),  # an input called "type", one level too high
    ("basics/3a_basic_pipeline/pipeline.yml", "unknown-setting"),  # default_datestore
    ("basics/6c_r_iris/component.yml", "component-name"),  # r-iris-example
    ("image_classification_with_densenet/apply_image_transformation/entry.spec.yaml", "unused-input"),  # mode
    ("image_classification_with_densenet/pipeline.yml", "not-in-enum"),  # center_crop: 224, of True and False
    ("nyc_taxi_data_regression_with_pipeline_component/pipeline.yml", "dropped-input"),  # test_split_ratio
}
LEFT_OUT = ("shakespeare.txt",)  # of checkouts without the large files


def test_the_public_samples_have_the_findings_that_are_known_and_no_others():
    checkout = os.environ.get("AZUREML_EXAMPLES")
    if not checkout:
        pytest.skip("AZUREML_EXAMPLES names no checkout of azureml-examples")
    jobs = Path(checkout, "cli", "jobs")
    files = [file for name in ("basics", "pipelines-with-components") for file in sorted((jobs / name).rglob("*.y*ml"))]
    found = [
        one for file in files for one in check_file(file) or [] if not one.message.split(";")[0].endswith(LEFT_OUT)
    ]
    unknown = [
        one for one in found if not any(str(one.file).endswith(end) and one.rule == rule for end, rule in SAMPLES)
    ]
    assert len(files) > 100
    assert [str(one) for one in unknown] == []
    assert len({(one.file, one.rule) for one in found}) == len(SAMPLES)


def test_a_component_that_several_nodes_use_is_checked_once(tmp_path: Path):
    nodes = "\n".join(f"  n{index}: {{type: command, component: step.yml}}" for index in range(5))
    (tmp_path / "step.yml").write_text("type: command\nenvironment: azureml:a:1\ncommand: ls ${{inputs.x}}\n")
    (tmp_path / "job.yml").write_text(f"type: pipeline\ncompute: azureml:any\njobs:\n{nodes}\n")
    found = check_file(tmp_path / "job.yml")
    assert [(one.file.name, one.line, one.rule) for one in found or []] == [("step.yml", 3, "undeclared")]


def test_a_finding_inside_a_nested_component_is_placed_in_its_file(tmp_path: Path):
    shutil.copytree(DEFECTS / "world", tmp_path, dirs_exist_ok=True)
    inner = (tmp_path / "inner.yml").read_text().replace("${{parent.inputs.table}}", "${{parent.inputs.tabel}}")
    (tmp_path / "inner.yml").write_text(inner)
    (tmp_path / "job.yml").write_text(
        "type: pipeline\njobs:\n  i: {type: pipeline, component: inner.yml, inputs: {table: ./data}}\n"
    )
    [found] = check_file(tmp_path / "job.yml") or []
    assert found.file.name == "inner.yml"
    assert inner.splitlines()[found.line - 1].strip() == 'inputs: {table: "${{parent.inputs.tabel}}"}'
    assert found.message == ('node "train" reads "tabel", which is not an input of the pipeline; did you mean "table"?')


@pytest.mark.parametrize("text", FINE.values(), ids=list(FINE))
def test_what_azure_takes_is_without_findings(text: str, tmp_path: Path):
    shutil.copytree(DEFECTS / "world", tmp_path, dirs_exist_ok=True)
    (tmp_path / "file.yml").write_text(text)
    assert [str(one) for one in check_file(tmp_path / "file.yml") or []] == []


@pytest.mark.parametrize("text", NOT_CHECKED.values(), ids=list(NOT_CHECKED))
def test_of_other_kinds_nothing_is_said(text: str, tmp_path: Path):
    (tmp_path / "file.yml").write_text(text)
    assert check_file(tmp_path / "file.yml") is None


CONTROL_FLOW = """
type: pipeline
settings: {default_compute: azureml:any}
jobs:
  check: {type: command, component: azureml:check@latest}
  yes_branch: {type: command, component: prep.yml}
  branch:
    type: if_else
    condition: ${{parent.jobs.check.outputs.is_good}}
    true_block: ${{parent.jobs.yes_branch}}
"""


def test_control_flow_is_fine_where_its_preview_is_switched_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(DEFECTS / "world", tmp_path, dirs_exist_ok=True)
    (tmp_path / "file.yml").write_text(CONTROL_FLOW)
    assert [one.rule for one in check_file(tmp_path / "file.yml") or []] == ["preview-node"]
    monkeypatch.setenv("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED", "true")
    assert check_file(tmp_path / "file.yml") == []


def test_what_set_puts_into_a_file_is_checked_in_place_of_what_was_there():
    distilbert = ROOT / "pipelines" / "distilbert.yml"
    for key, value, rule in [
        ("inputs.seed", "many", "wrong-literal"),
        ("jobs.preprocess.inputs.corpus.path", "nowhere", "missing-file"),
        ("jobs.distill.inputs.sequences", "5", "wrong-kind"),
        ("jobs.distill.component", "../components/nope.yml", "missing-component"),
    ]:
        [found, *_] = check_file(distilbert, [{key: value}]) or []
        assert (found.rule, found.line) == (rule, 0)  # no line of the file says so
        assert found.message.startswith(f"--set {key}: ")
    assert check_file(distilbert, [{"jobs.preprocess.inputs.corpus.path": "../sample_data/corpus"}]) == []
