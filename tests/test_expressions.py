"""What `${{...}}` and `$[[...]]` mean, and how a pipeline is bound."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.engine.binding import plan
from azureml_local.expressions import Reference, command_line, malformed, references, substitute, whole_reference
from azureml_local.spec import Component, Data, Distribution, Node, Output, Pipeline, Port, SpecError

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="${}[]", exclude_categories=["Cs"]), max_size=20)


def port(name: str, type: str = "string", **fields: object) -> Port:
    return Port(name=name, type=type, **fields)  # type: ignore[arg-type]


def component(command: str, *inputs: Port, outputs: tuple[Port, ...] = ()) -> Component:
    return Component(
        name="tried",
        version="1",
        command=command,
        code=None,
        inputs={one.name: one for one in inputs},
        outputs={one.name: one for one in outputs},
    )


def node(name: str, tried: Component, **inputs: str | Data) -> Node:
    return Node(name=name, job_name=f"job-{name}", component=tried, inputs=dict(inputs))


def pipeline(*nodes: Node, inputs: dict[str, str | Data | None] | None = None) -> Pipeline:
    return Pipeline(name="p", experiment_name="e", inputs=inputs or {}, nodes={one.name: one for one in nodes})


def command_of(tried: Component, **inputs: str | Data) -> str:
    return plan(pipeline(node("n", tried, **inputs)), Path("/jobs")).tasks["n"].command


@given(st.dictionaries(NAMES, TEXTS, min_size=1))
def test_every_value_appears_where_it_is_read_whatever_it_contains(values: dict[str, str]) -> None:
    command = " | ".join(f"--{name} ${{{{inputs.{name}}}}}" for name in values)
    expected = " | ".join(f"--{name} {value}" for name, value in values.items())
    assert command_line(command, {f"inputs.{name}": value for name, value in values.items()}) == expected


def test_a_value_that_looks_like_an_expression_is_not_read_again() -> None:
    assert substitute("${{a}}", lambda _: "${{b}}") == "${{b}}"


@pytest.mark.parametrize("text", ["${{inputs.x}}", "${{ inputs.x }}", "${{  inputs.x}}"])
def test_spaces_inside_the_braces_do_not_matter(text: str) -> None:
    assert references(text) == [Reference("inputs.x", 0, len(text))]
    assert whole_reference(text) == Reference("inputs.x", 0, len(text))
    assert whole_reference(f"{text}!") is None


@pytest.mark.parametrize("text", ["${{inputs.x", "a ${{inputs.x}} b ${{", "${{inputs..x}}", "${{}}", "${{a b}}"])
def test_a_malformed_expression_is_refused(text: str) -> None:
    assert malformed(text)
    with pytest.raises(SpecError):
        substitute(text, str)


def test_an_optional_part_is_there_only_when_all_its_inputs_are() -> None:
    command = "run $[[--a ${{inputs.a}} --b ${{inputs.b}}]] end"
    assert command_line(command, {"inputs.a": "1", "inputs.b": "2"}) == "run --a 1 --b 2 end"
    assert command_line(command, {"inputs.a": "1", "inputs.b": None}) == "run  end"


def test_what_is_not_given_must_be_inside_an_optional_part() -> None:
    with pytest.raises(SpecError, match=r'"inputs.a", which is optional and not given: put it inside \$\[\['):
        command_line("run ${{inputs.a}}", {"inputs.a": None})


def test_a_shell_test_with_brackets_is_left_alone() -> None:
    assert command_line("if [[ -e ${{inputs.a}} ]]; then x; fi", {"inputs.a": "f"}) == "if [[ -e f ]]; then x; fi"


def test_a_misspelt_name_in_a_command_gets_the_nearest_one() -> None:
    tried = component("run ${{inputs.corpsu}}", port("corpus"))
    with pytest.raises(
        SpecError, match=r'node "n", command: "inputs.corpsu" is not there; did you mean "inputs.corpus"'
    ):
        command_of(tried, corpus="x")


def test_path_may_follow_an_input(tmp_path: Path) -> None:
    tried = component("run ${{inputs.corpus.path}}", port("corpus", "uri_folder"))
    assert command_of(tried, corpus=Data(path=tmp_path)) == f"run {tmp_path}"


@pytest.mark.parametrize(("given", "rendered"), [("true", "True"), ("True", "True"), ("false", "False")])
def test_booleans_are_written_as_azure_writes_them(given: str, rendered: str) -> None:
    assert command_of(component("run ${{inputs.fast}}", port("fast", "boolean")), fast=given) == f"run {rendered}"


@pytest.mark.parametrize(
    ("type", "text"),
    [("boolean", "yes"), ("integer", "1.5"), ("integer", ""), ("number", "many"), ("uri_file", "a.txt")],
)
def test_a_value_of_another_type_names_node_and_input(type: str, text: str) -> None:
    with pytest.raises(SpecError, match='node "n", input "x" takes'):
        command_of(component("run ${{inputs.x}}", port("x", type)), x=text)


def test_data_cannot_be_given_for_a_number(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match='node "n", input "x" takes a number, but is given the data'):
        command_of(component("run ${{inputs.x}}", port("x", "number")), x=Data(path=tmp_path))


def test_defaults_fill_what_is_not_given() -> None:
    tried = component("run ${{inputs.a}} ${{inputs.b}}", port("a", default="1"), port("b", optional=True, default="2"))
    assert command_of(tried) == "run 1 2"
    assert command_of(tried, a="3", b="4") == "run 3 4"


def test_a_required_input_must_be_given() -> None:
    with pytest.raises(SpecError, match='node "n", input "a" is required and has no value'):
        command_of(component("run ${{inputs.a}}", port("a")))


def test_an_input_that_the_component_does_not_have_is_refused() -> None:
    with pytest.raises(SpecError, match=r'node "n", input "sed".*no such input; did you mean "seed"'):
        command_of(component("run ${{inputs.seed}}", port("seed", default="1")), sed="2")


def test_pipeline_inputs_reach_nodes_alone_and_inside_text(tmp_path: Path) -> None:
    tried = component("run ${{inputs.a}} ${{inputs.b}}", port("a", "uri_folder"), port("b"))
    bound = node("n", tried, a="${{parent.inputs.data}}", b="run-${{parent.inputs.seed}}")
    planned = plan(pipeline(bound, inputs={"data": Data(path=tmp_path), "seed": "7"}), Path("/jobs"))
    assert planned.tasks["n"].command == f"run {tmp_path} run-7"


def test_a_pipeline_input_that_is_not_given_leaves_an_optional_input_out() -> None:
    tried = component("run $[[--a ${{inputs.a}}]]", port("a", "uri_folder", optional=True))
    planned = plan(pipeline(node("n", tried, a="${{parent.inputs.data}}"), inputs={"data": None}), Path("/jobs"))
    assert planned.tasks["n"].command == "run "


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ("${{parent.inputs.dta}}", 'did you mean "parent.inputs.data"'),
        ("${{parent.jobs.frist.outputs.out}}", '"frist" is not a node; did you mean "first"'),
        ("${{parent.jobs.first.outputs.uot}}", 'node "first" has no output "uot"; did you mean "out"'),
        ("${{search_space.x}}", "cannot be read here; expected"),
    ],
)
def test_a_misspelt_reading_names_node_input_and_the_nearest_name(reading: str, message: str) -> None:
    first = node("first", component("write ${{outputs.out}}", outputs=(port("out", "uri_folder"),)))
    second = node("second", component("read ${{inputs.a}}", port("a", "uri_folder")), a=reading)
    with pytest.raises(SpecError) as error:
        plan(pipeline(first, second, inputs={"data": Data(path=Path("/data"))}), Path("/jobs"))
    assert str(error.value).startswith('node "second", input "a": ')
    assert message in str(error.value)


def test_outputs_lie_in_the_folder_of_their_job_and_are_what_the_next_node_reads() -> None:
    first = node("first", component("write ${{outputs.out}}", outputs=(port("out", "uri_folder"),)))
    second = node(
        "second", component("read ${{inputs.a}}", port("a", "uri_folder")), a="${{parent.jobs.first.outputs.out}}"
    )
    tasks = plan(pipeline(second, first), Path("/jobs")).tasks
    assert tasks["first"].command == "write /jobs/job-first/outputs/out"
    assert tasks["second"].command == "read /jobs/job-first/outputs/out"
    assert tasks["second"].needs == {"first"}


def test_pipeline_outputs_are_the_outputs_of_the_nodes_bound_to_them() -> None:
    made = component("write ${{outputs.out}}", outputs=(port("out", "uri_folder"),))
    first = replace(node("first", made), outputs={"out": Output(target="${{parent.outputs.model}}")})
    whole = replace(pipeline(first), outputs={"model": Output(type="uri_folder")})
    assert plan(whole, Path("/jobs")).outputs == {"model": Path("/jobs/job-first/outputs/out")}
    with pytest.raises(SpecError, match=r'output "out" is bound to .*which the pipeline does not have'):
        plan(pipeline(first), Path("/jobs"))


def test_nodes_that_wait_for_each_other_are_refused() -> None:
    turn = component("${{inputs.a}} ${{outputs.out}}", port("a", "uri_folder"), outputs=(port("out", "uri_folder"),))
    one = node("one", turn, a="${{parent.jobs.two.outputs.out}}")
    two = node("two", turn, a="${{parent.jobs.one.outputs.out}}")
    with pytest.raises(SpecError, match=r'"one" -> "two" -> "one"|"two" -> "one" -> "two"'):
        plan(pipeline(one, two), Path("/jobs"))


@pytest.mark.parametrize("count", ["2", "${{parent.inputs.processes}}"])
def test_the_number_of_processes_may_be_a_pipeline_input(count: str) -> None:
    one = replace(node("n", component("run")), distribution=Distribution(process_count=count))
    assert plan(pipeline(one, inputs={"processes": "2"}), Path("/jobs")).tasks["n"].process_count == 2


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_processes_below_one_is_refused(count: str) -> None:
    one = replace(node("n", component("run")), distribution=Distribution(process_count=count))
    with pytest.raises(SpecError, match='node "n", distribution: the number of processes must be 1 or more'):
        plan(pipeline(one), Path("/jobs"))
