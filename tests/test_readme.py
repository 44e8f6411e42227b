"""The README tells the truth about the files and the commands."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from azureml_local.cli import _parser
from conftest import ROOT

# What is not Python or YAML and so has no sentence of its own.
OTHERS = {
    "Makefile": "install, run, test, check: each does the set-up that it needs",
    "pyproject.toml": "the two packages, and each dependency with its reason",
    "constraints.txt": "the versions that everything was tested with",
    "CHANGELOG.md": "what a user notices",
    "docs/data-flow.svg": "the figure above",
    "endpoints/fill-mask/sample-request.json": "the two sentences of the published card",
    "environments/training/conda.yml": "what the training jobs install",
    "environments/inference/conda.yml": "what the endpoint installs",
    "environments/inference-gpu/conda.yml": "what the endpoint installs on a GPU",
    "endpoints/fill-mask/deployment.yml": "the scoring script, its environment, its instance and its limits",
    "notebooks/": "the three sample notebooks",
    "sample_data/": "sentences of our own, and their generator: corpus, vocabulary, GLUE-layout files, pairs, masks",
    "src/azureml_local/checks/": "the rules of `azureml-local check`, by subject, and what reads the files",
    "src/azureml_local/pages/": "the pages of jobs and endpoints: frames, scripts and styles, served as they are",
    "tests/": "the tests",
    "docs/compatibility.md": "the public job files of azureml-examples, and how each ends here",
    "docs/performance.md": "how fast a distillation step, preprocessing and an answer are, beside what, and why",
    "docs/distill-step.svg": "its figure of a step",
    "docs/serving.svg": "its figure of an answer",
    "docs/endpoint.md": "the endpoint in operation: replace, mirror, scale, a GPU, limits, what it withstands",
    "docs/evaluation.md": "every number of the evaluation and how it is measured; Azure's sample, grammar and bias",
    "docs/reliability.md": "what happens when something fails, and how each fault is tried",
    "docs/results.md": "whether it distils: students with and without each loss and a teacher, on real text and GLUE",
    "docs/results.json": "its numbers, from the MLflow store of the run",
    "docs/results.svg": "its figure of the training curves",
    "docs/scaling.md": "which GPUs to pay for: wall times, memory and communication, by arithmetic",
    "docs/local-workspace.md": "what the local workspace speaks, and how it runs, reuses and checks jobs",
}
ONE_LINE = (
    "notebooks/",
    "sample_data/",
    "src/azureml_local/checks/",
    "src/azureml_local/pages/",
    "tests/",
)  # their files are alike
SECTIONS = ["", "components/", "pipelines/", "endpoints/", "environments/", "src/", "docs/", "benchmarks/"]
SECTIONS += ["notebooks/", "sample_data/", "tests/"]


def sentence(name: str) -> str:
    """What a file is for, in its own words."""
    path = ROOT / name
    if name in OTHERS:
        return OTHERS[name]
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
    if path.suffix in (".js", ".css", ".html", ".svg"):  # its first comment
        return re.search(r"(?://|/\*|<!--) (.+?)\.\s", path.read_text()).group(1)
    return yaml.safe_load(path.read_text())["description"].split(". ")[0].split(": ")[0].strip().rstrip(".;")


def tree() -> str:
    """One line a file; folders whose files are alike are one line."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    hidden = {"LICENSE", "README.md"}
    names = [name for name in tracked if not Path(name).name.startswith(".") and name not in hidden]
    names = [name for name in names if not name.startswith((".", *ONE_LINE))] + list(ONE_LINE)

    def place(name: str) -> tuple[int, str]:
        return max(i for i, section in enumerate(SECTIONS) if name.startswith(section)), name

    return "\n".join(f"{name:<44} {sentence(name)}" for name in sorted(names, key=place))


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_the_tree_has_one_line_for_each_file(readme):
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout, to tell the repository's files from others")
    assert tree() in readme


def test_every_file_that_is_named_exists(readme):
    named = set(
        re.findall(r"(?<![\w/])(?:components|pipelines|endpoints|environments|docs|sample_data)/[\w./-]+\.\w+", readme)
    )
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def anchors(page: Path) -> set[str]:
    """What the headings of a page are linked by: lower case, without signs, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_leads_to_a_file_and_a_heading(page):
    links = re.findall(r"\]\((?!http)([^)\s]+)\)", page.read_text())
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_command_of_azureml_local_and_of_make_that_is_named_exists(readme):
    _, subcommands = _parser()
    assert set(re.findall(r"azureml-local ([a-z]+)", readme)) == set(subcommands)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", readme, flags=re.MULTILINE)) <= targets


def test_every_override_that_is_shown_has_its_place_in_the_pipeline(readme):
    commands = re.findall(r"pipelines/(\w+)\.yml((?: \\\n|[^\n])*)", readme)
    overrides = [(name, one) for name, rest in commands for one in re.findall(r"--set (\w+\.[\w.]+)=", rest)]
    assert {name for name, _ in overrides} == {"distilbert", "fill_mask_evaluation", "from_scratch", "glue"}
    for pipeline_name, override in overrides:
        pipeline = yaml.safe_load((ROOT / "pipelines" / f"{pipeline_name}.yml").read_text())
        kind, name, *rest = override.split(".")
        assert name in pipeline[kind], override
        if kind == "jobs":
            component = yaml.safe_load((ROOT / "pipelines" / pipeline["jobs"][name]["component"]).read_text())
            assert rest[1] in component["inputs"], override


def test_ci_runs_the_command_of_the_readme(readme):
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1].removeprefix("exec ")
    assert f"\n{command} " in readme
