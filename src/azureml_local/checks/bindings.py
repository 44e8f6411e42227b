"""Rules about how nodes are tied together: does what is read exist, and does everything have one writer?"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from azureml_local.checks.scopes import Scope, is_open, known_name, nearest, reads, targets, texts
from azureml_local.checks.table import ERROR, WARNING, Finding, rule
from azureml_local.expressions import malformed, whole_reference

READABLE = "expected ${{parent.inputs.<name>}} or ${{parent.jobs.<node>.outputs.<name>}}"

# The SDK sends no input that is optional and has no value: a job has those alone that it is given.
NOT_GIVEN = "the pipeline is not given: give it, or leave out the node's input that reads it"


@rule(Scope, "malformed-expression", ERROR, "Every ${{ is closed and holds a dotted path.")
def malformed_expression(scope: Scope) -> Iterator[Finding]:
    """In what a node reads and in where its outputs go."""
    for node in scope.nodes.values():
        bound = [(("outputs", name), output.target) for name, output in node.outputs.items() if output.target]
        for field, text in [*texts(node), *bound]:
            if fault := malformed(text):
                yield Finding(scope.at(node, *field), f"{scope.called(node)}: {fault}")


@rule(Scope, "misplaced-expression", ERROR, "A node reads its parent's inputs and its siblings' outputs, nothing else.")
def misplaced_expression(scope: Scope) -> Iterator[Finding]:
    """`${{inputs.x}}` belongs into a command or what a node has in place of one; control flow reads whole nodes."""
    for node in scope.nodes.values():
        for where, reference in reads(scope, node):
            is_input = scope.at(node, "inputs") == where[:-1]
            match reference.parts:
                case ["parent", "inputs", _, *_] | ["parent", "jobs", _, "outputs", _, *_]:
                    continue
                case ["parent", "jobs", _, *_] | ["inputs" | "outputs" | "search_space", *_] if not is_input:
                    continue
            yield Finding(where, f'{scope.called(node)} cannot read "${{{{{reference.path}}}}}" here; {READABLE}')


@rule(Scope, "unknown-parent-input", ERROR, "`${{parent.inputs.x}}` is an input of the pipeline.")
def unknown_parent_input(scope: Scope) -> Iterator[Finding]:
    """Also in a node's compute, distribution and the like."""
    for node in scope.nodes.values():
        for where, reference in reads(scope, node):
            match reference.parts:
                case ["parent", "inputs", *names] if names and not known_name(names, scope.inputs):
                    if _is_in_a_group(names, scope):
                        continue
                    known = nearest(".".join(names), scope.inputs)
                    what = NOT_GIVEN if scope.is_job and not known.endswith("?") else "is not an input of the pipeline"
                    yield Finding(where, f'{scope.called(node)} reads "{".".join(names)}", which {what}{known}')


@rule(Scope, "unread-parent-input", WARNING, "An input of the pipeline is read by a node.")
def unread_parent_input(scope: Scope) -> Iterator[Finding]:
    """Whoever sets it believes that it does something. Where a node reads amiss, that is said instead."""
    amiss = (malformed_expression, misplaced_expression, unknown_parent_input)
    if scope.is_standalone or any(True for check in amiss for _ in check(scope)):
        return
    read = set()
    for node in scope.nodes.values():
        for _, reference in reads(scope, node):
            match reference.parts:
                case ["parent", "inputs", first, *rest]:
                    read |= {first, known_name([first, *rest], scope.inputs)}
    for name in scope.inputs:
        if name not in read:
            yield Finding((*scope.where, "inputs", name), f'no node reads the input "{name}"')


@rule(Scope, "unknown-node", ERROR, "`${{parent.jobs.x...}}` is a node of the pipeline.")
def unknown_node(scope: Scope) -> Iterator[Finding]:
    """Nodes see their siblings only: not those in or around their graph."""
    for node in scope.nodes.values():
        for where, reference in reads(scope, node):
            match reference.parts:
                case ["parent", "jobs", name, *rest] if name not in scope.nodes:
                    known = nearest(name, scope.nodes)
                    what = f'"{rest[1]}"' if rest[:1] == ["outputs"] and rest[1:] else f'"{where[-1]}"'
                    message = f'{scope.called(node)} reads {what} from "{name}", which is not a node{known}'
                    yield Finding(where, message)


@rule(Scope, "unknown-output", ERROR, "What is read from a node is an output of its component.")
def unknown_output(scope: Scope) -> Iterator[Finding]:
    """Of a registered component nothing is known, so nothing is said."""
    for node in scope.nodes.values():
        for where, reference in reads(scope, node):
            match reference.parts:
                case ["parent", "jobs", name, "outputs", output, *_] if name in scope.nodes:
                    component = scope.nodes[name].component
                    if output not in component.outputs and not is_open(scope.nodes[name]):
                        known = nearest(output, component.outputs)
                        message = (
                            f'{scope.called(node)} reads "{output}" from "{name}", which has no such output{known}'
                        )
                        yield Finding(where, message)


@rule(Scope, "undeclared-output", ERROR, "A node sets only outputs that its component has.")
def undeclared_output(scope: Scope) -> Iterator[Finding]:
    """A name of its own makes no output: the command would write to nowhere."""
    for node in scope.nodes.values():
        for name in node.outputs:
            if name not in node.component.outputs and not is_open(node):
                known = nearest(name, node.component.outputs)
                message = f'{scope.called(node)} sets an output "{name}", which its component does not have{known}'
                yield Finding(scope.at(node, "outputs", name), message)


@rule(Scope, "unknown-pipeline-output", ERROR, "An output goes to `${{parent.outputs.x}}`, an output of the pipeline.")
def unknown_pipeline_output(scope: Scope) -> Iterator[Finding]:
    """Any other expression is no place to write to."""
    for node, name, output in targets(scope):
        reference = whole_reference(output.target)
        if reference is None:
            continue
        where = scope.at(node, "outputs", name)
        bound = f'{scope.called(node)} binds its output "{name}" to'
        match reference.parts:
            case ["parent", "outputs", target] if target in scope.outputs:
                continue
            case ["parent", "outputs", target]:
                yield Finding(
                    where, f'{bound} "{target}", which the pipeline does not have{nearest(target, scope.outputs)}'
                )
            case _:
                yield Finding(where, f'{bound} "{output.target}"; expected ${{{{parent.outputs.<name>}}}}')


@rule(Scope, "output-bound-twice", ERROR, "An output of the pipeline has one writer.")
def output_bound_twice(scope: Scope) -> Iterator[Finding]:
    """Which of them would win is anybody's guess."""
    writers: dict[str, tuple[str, str]] = {}
    for node, name, output in targets(scope):
        if reference := whole_reference(output.target):
            first = writers.setdefault(reference.path, (node.name, name))
            if first != (node.name, name):
                again = f'{scope.called(node)} writes the pipeline\'s output "{reference.parts[-1]}"'
                message = f'{again}, which "{first[1]}" of node "{first[0]}" writes already; bind one of them'
                yield Finding(scope.at(node, "outputs", name), message)


@rule(Scope, "output-unbound", ERROR, "An output of the pipeline is written by a node.")
def output_unbound(scope: Scope) -> Iterator[Finding]:
    """A job with such an output ends without it."""
    written = {reference.parts[-1] for _, _, output in targets(scope) if (reference := whole_reference(output.target))}
    for name in scope.outputs:
        if name not in written and not scope.is_standalone:
            message = f'no node writes the output "{name}"; bind one to ${{{{parent.outputs.{name}}}}}'
            yield Finding((*scope.where, "outputs", name), message)


@rule(Scope, "cycle", ERROR, "No node waits for itself.")
def cycle(scope: Scope) -> Iterator[Finding]:
    """Control flow goes round by a mapping, not by inputs, so its circles are no circles here."""
    needs: dict[str, set[str]] = {name: set() for name in scope.nodes}
    for name, node in scope.nodes.items():
        for where, reference in reads(scope, node):
            match reference.parts:
                case ["parent", "jobs", needed, *_] if "inputs" in where:
                    needs[name].add(needed)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        names = error.args[1]
        circle = " -> ".join(f'"{name}"' for name in names)
        message = f"the nodes {circle} wait for each other: each reads an output of the one before"
        yield Finding(scope.at(scope.nodes[names[0]]), message)


def _is_in_a_group(names: list[str], scope: Scope) -> bool:
    declared = scope.inputs.get(names[0])
    return len(names) > 1 and getattr(declared, "type", "") == "group"
