"""Pipeline components: graphs in graphs, bound and run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.engine.binding import plan
from azureml_local.spec import Graph, Node, Output, Pipeline, Port, SpecError, Value
from small_pipelines import FOLDER, Heard, component, log_of

DATA = Port(name="data", type="uri_folder")
WORD = Port(name="word", type="string", default="nothing")
WRITE = component("echo ${{inputs.word}} > ${{outputs.out}}/word", WORD, outputs=(FOLDER,))
READ = component("cat ${{inputs.data}}/word; cp ${{inputs.data}}/word ${{outputs.out}}", DATA, outputs=(FOLDER,))


def node(name: str, made: object, inputs: dict[str, Value] | None = None, to: str = "") -> Node:
    outputs = {"out": Output(target=f"${{{{parent.outputs.{to}}}}}")} if to else {}
    return Node(name=name, job_name=f"job-{name}", component=made, inputs=inputs or {}, outputs=outputs)  # type: ignore[arg-type]


def graph(*nodes: Node, word: Port = WORD) -> Graph:
    return Graph(
        name="graph",
        version="1",
        inputs={"word": word},
        outputs={"out": FOLDER},
        nodes={one.name: one for one in nodes},
    )


def inner() -> Graph:
    """Writes its word and reads it back."""
    return graph(
        node("write", WRITE, {"word": "${{parent.inputs.word}}"}),
        node("read", READ, {"data": "${{parent.jobs.write.outputs.out}}"}, to="out"),
    )


def pipeline(name: str, *nodes: Node, **fields: object) -> Pipeline:
    return Pipeline(name=name, experiment_name="trials", nodes={one.name: one for one in nodes}, **fields)  # type: ignore[arg-type]


def nested(name: str) -> Pipeline:
    """A graph in a graph, whose output a node of the pipeline reads."""
    outer = graph(node("inner", inner(), {"word": "${{parent.inputs.word}} world"}, to="out"))
    return pipeline(
        name,
        node("outer", outer, {"word": "hello ${{parent.inputs.mark}}"}, to="kept"),
        node("show", READ, {"data": "${{parent.jobs.outer.outputs.out}}"}),
        inputs={"mark": "big"},
        outputs={"kept": Output()},
    )


def test_values_and_outputs_pass_through_the_walls_of_graphs() -> None:
    planned = plan(nested("walls"), Path("/jobs"))
    assert planned.tasks["outer.inner.write"].command == "echo hello big world > /jobs/job-write/outputs/out/word"
    assert planned.tasks["show"].needs == {"outer.inner.read"}
    assert planned.outputs == {"kept": Path("/jobs/job-read/outputs/out")}
    assert [planned.jobs()[job].parent for job in ("job-outer", "job-inner", "job-read")] == [
        "walls",
        "job-outer",
        "job-inner",
    ]


def test_an_input_that_nobody_gives_has_the_graphs_default() -> None:
    planned = plan(pipeline("default", node("outer", inner())), Path("/jobs"))
    assert planned.tasks["outer.write"].given == {"word": "nothing"}


def test_the_place_of_an_output_is_where_the_node_writes() -> None:
    placed = replace(nested("placed"), outputs={"kept": Output(place=Path("/kept/here"))})
    assert plan(placed, Path("/jobs")).tasks["outer.inner.read"].outputs == {"out": Path("/kept/here")}


def test_a_mistake_in_a_graph_is_named_with_the_whole_path() -> None:
    wrong = graph(node("read", READ, {"data": "${{parent.jobs.wirte.outputs.out}}"}))
    with pytest.raises(SpecError, match=r'node "outer\.read", input "data": "wirte" is not a node'):
        plan(pipeline("wrong", node("outer", wrong)), Path("/jobs"))


def test_an_output_that_no_node_of_the_graph_writes_cannot_be_read() -> None:
    reader = node("show", READ, {"data": "${{parent.jobs.outer.outputs.out}}"})
    with pytest.raises(SpecError, match='node "outer": no node of it writes its output "out"'):
        plan(pipeline("empty", node("outer", graph(node("write", WRITE))), reader), Path("/jobs"))


def test_graphs_run_and_end_with_their_nodes(run: Callable, heard: Heard) -> None:
    change = run(nested("running"))
    assert change.status == "Completed", change.error
    assert change.outputs["kept"].joinpath("word").read_text() == "hello big world\n"
    assert log_of(heard.last("job-show")) == "hello big world\n"
    for job in ("job-outer", "job-inner"):
        assert heard.statuses(job) == ["NotStarted", "Running", "Completed"]
    assert heard.last("job-inner").outputs.keys() == {"out"}
    ended = [heard.last(job).end_time for job in ("job-read", "job-inner", "job-outer", "running")]
    assert ended == sorted(ended)  # type: ignore[type-var]


def test_a_node_that_fails_in_a_graph_fails_the_graphs_around_it(run: Callable, heard: Heard) -> None:
    failing = graph(node("bad", component("echo no >&2; exit 3")), node("after", WRITE))
    change = run(pipeline("failing", node("broken", graph(node("around", failing)))))
    assert change.status == "Failed"
    assert change.error == 'node "broken.around.bad" failed: its command ended with status 3; its log ends with:\nno'
    assert heard.last("job-broken").status == "Failed"
    assert heard.last("job-broken").error == change.error
