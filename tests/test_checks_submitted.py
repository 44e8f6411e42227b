"""The rules of `azureml-local check`, asked of a job that was submitted."""

from dataclasses import replace
from pathlib import Path

from azureml_local.checks import problems
from azureml_local.spec import Component, Data, Graph, Node, Pipeline, Port, Sweep


def submitted(**changes: object) -> Pipeline:
    """A job as a submission becomes it: no file, data that are there."""
    port = Port(name="table", type="uri_folder")
    step = Component(
        name="step",
        version="1",
        command="step ${{inputs.table}} ${{inputs.rows}} ${{outputs.model}}",
        code=None,
        inputs={"table": port, "rows": Port(name="rows", type="integer", default="1", maximum="9")},
        outputs={"model": Port(name="model", type="custom_model")},
    )
    inner = Graph(
        name="inner",
        version="1",
        inputs={"table": port},
        nodes={"fit": Node(name="fit", job_name="2", component=step, inputs={"table": "${{parent.inputs.table}}"})},
    )
    nodes = {
        "one": Node(name="one", job_name="1", component=step, inputs={"table": Data(path=Path("/data")), "rows": "3"}),
        "two": Node(name="two", job_name="3", component=inner, inputs={"table": "${{parent.jobs.one.outputs.model}}"}),
    }
    return replace(Pipeline(name="job", experiment_name="any", nodes=nodes), **changes)


def test_a_submission_is_asked_the_same_and_named_by_node_and_field():
    fine = submitted()
    assert problems(fine) == []
    one = replace(fine.nodes["one"], inputs={"table": "${{parent.inputs.tabel}}", "rows": "10"})
    found = problems(submitted(nodes={**fine.nodes, "one": one}, inputs={"table": "text"}))
    assert [str(problem) for problem in found] == [
        'jobs.one.inputs.table: node "one" reads "tabel", which is not an input of the pipeline; did you mean "table"?',
        'jobs.one.inputs.rows: node "one" takes "rows" up to 9, got 10',
    ]
    absent = replace(one, inputs={"table": "${{parent.inputs.notes}}", "rows": "3"})
    (found,) = problems(submitted(nodes={**fine.nodes, "one": absent}))
    sentence = "the pipeline is not given: give it, or leave out the node's input that reads it; there are none"
    assert str(found) == f'jobs.one.inputs.table: node "one" reads "notes", which {sentence}'
    graph = fine.nodes["two"].component
    assert isinstance(graph, Graph)
    broken = replace(graph, nodes={"fit": replace(graph.nodes["fit"], inputs={"rows": "2"})})
    found = problems(submitted(nodes={**fine.nodes, "two": replace(fine.nodes["two"], component=broken)}))
    assert [(problem.rule, problem.where) for problem in found] == [
        ("unread-parent-input", ("jobs", "two", "component", "inputs", "table")),
        ("missing-input", ("jobs", "two", "component", "jobs", "fit", "inputs")),
    ]


def test_a_command_job_is_a_pipeline_of_one_node_and_speaks_of_itself():
    step = submitted().nodes["one"].component
    node = Node(name="alone", job_name="alone", component=step, inputs={"rows": "3"})
    found = problems(Pipeline(name="alone", experiment_name="any", nodes={"alone": node}))
    assert [str(problem) for problem in found] == [
        'inputs: the job does not give "table" (uri_folder), which its component requires'
    ]


def test_a_sweep_gives_what_its_search_space_names():
    step = submitted().nodes["one"].component
    required = replace(
        step, inputs={"rows": Port(name="rows", type="integer")}, command="step ${{search_space.rows}}", outputs={}
    )
    sweep = Sweep(
        search_space={"rows": ("choice", ("1", "2"))},
        **{"sampling": "random", "seed": None, "primary_metric": "loss", "maximize": False},
        **{"max_trials": 2, "max_concurrent": 1},
    )
    node = Node(name="one", job_name="1", component=required, sweep=sweep)
    assert problems(submitted(nodes={"one": node})) == []
