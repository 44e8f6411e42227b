"""Rules about a component's command: does it read what is declared, all of it, and safely?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from azureml_local.checks.scopes import PATH_TYPES, Command, Scope, known_name, nearest
from azureml_local.checks.sections import is_to_be_filled_in
from azureml_local.checks.shell_text import is_harmed, syntax_error, unquoted
from azureml_local.checks.table import ERROR, WARNING, Finding, Where, rule
from azureml_local.expressions import OPTIONAL_CLOSES, OPTIONAL_OPENS, Reference, malformed, references, shown
from azureml_local.spec import Port

DEFAULT_ARTIFACTS = "artifacts"  # Azure fills an output of this name with what the run wrote to ./outputs and ./logs

OPTION = re.compile(r"\s*--?[A-Za-z][\w-]*(?=[\s=]|$)")
GOES_ON = re.compile(r"(\\|&&|\|\|?|[;({])$")  # the line has not ended its command


def _misspelt(path: str) -> re.Pattern[str]:
    """{{inputs.x}} and ${inputs.x}."""
    return re.compile(rf"(?<![{{$])\{{\{{\s*(?P<path>{path})\s*\}}\}}|\$\{{\s*(?P<variable>{path})\s*\}}")


IN_A_COMMAND = _misspelt(r"(?:parent\.)?(?:inputs|outputs)\.[\w.]+")
IN_A_NODE = _misspelt(r"parent\.(?:inputs|jobs)\.[\w.]+")
MANY = 4  # inputs and outputs that nobody leaves out of a command by mistake


@rule(Command, "malformed-command", ERROR, "In a command, every ${{ is closed and holds a dotted path.")
def malformed_command(command: Command) -> Iterator[Finding]:
    """What is not closed reaches the shell as it stands."""
    if fault := malformed(command.component.command):
        yield Finding((*command.where, "command"), f"the command: {fault}")


@rule(Command, "broken-command", ERROR, "An option stands on the line of its program, or the line before ends with \\.")
def broken_command(command: Command) -> Iterator[Finding]:
    """A shell takes it for a command of its own. YAML keeps the ends of lines after `|`, and some of them after `>`."""
    text = command.component.command
    lines = text.split("\n") if "<<" not in text else []
    for before, line in pairwise(lines):
        if OPTION.match(line) and before.strip() and not GOES_ON.search(before):
            spaces = "blanks after the \\ of the line before" if before.rstrip().endswith("\\") else "no \\ before it"
            message = f'"{shown(line.strip())}" is a command of its own to the shell, with {spaces}'
            yield Finding((*command.where, "command"), message, line.strip())


@rule(
    Command,
    "other-spelling",
    ERROR,
    "An expression is spelt ${{inputs.x}}, and an optional part $[[ ... ]].",
    also=Scope,
)
def other_spelling(of: Command | Scope) -> Iterator[Finding]:
    """A shell reads the others as variables of its own, or as they stand; a node is given them as they stand."""
    if isinstance(of, Scope):
        for node in of.nodes.values():
            for name, value in node.inputs.items():
                text = value if isinstance(value, str) else str(value.path)
                for match in IN_A_NODE.finditer(text):
                    yield _no_expression(of.at(node, "inputs", name), match, match["path"] or match["variable"])
    else:
        for match in IN_A_COMMAND.finditer(of.component.command):
            path = (match["path"] or match["variable"]).removeprefix("parent.")
            yield _no_expression((*of.where, "command"), match, path)
        yield from _unclosed(of)


def _no_expression(where: Where, match: re.Match[str], path: str) -> Finding:
    return Finding(where, f"{match[0]} is no expression: write ${{{{{path}}}}}", match[0])


def _unclosed(command: Command) -> Iterator[Finding]:
    text = command.component.command
    if text.count(OPTIONAL_OPENS) > text.count(OPTIONAL_CLOSES):
        message = "the command opens an optional part with $[[ and does not close it with ]]"
        yield Finding((*command.where, "command"), message, OPTIONAL_OPENS)


@rule(Command, "shell-syntax", ERROR, "A shell can parse the command.")
def shell_syntax(command: Command) -> Iterator[Finding]:
    """Asked of bash, which runs it on Azure, where there is one."""
    text = command.component.command
    is_spelt = not malformed(text) and text.count(OPTIONAL_OPENS) <= text.count(OPTIONAL_CLOSES)
    if is_spelt and (said := syntax_error(text)):
        yield Finding((*command.where, "command"), f"a shell cannot parse the command: {shown(said)}")


@rule(Command, "undeclared", ERROR, "A command reads only inputs and outputs that are declared.")
def undeclared(command: Command) -> Iterator[Finding]:
    """`inputs`, `outputs` and, in a sweep, `search_space` are all that a command can read."""
    for reference in references(command.component.command):
        match reference.parts:
            case ["inputs" | "outputs" | "search_space" as section, name, *fields]:
                known = _declared(command, section)
                name = known_name([name, *fields], known) or name  # of a group, its own has a dot
            case _:
                message = (
                    f'the command reads "{reference.path}"; expected ${{{{inputs.<name>}}}} or ${{{{outputs.<name>}}}}'
                )
                yield _at_command(command, reference, message)
                continue
        if name not in known:
            message = f'the command reads "{section}.{name}", which is not declared{nearest(name, known)}'
            yield _at_command(command, reference, message)


@rule(Command, "optional-outside-brackets", ERROR, "A command reads an optional input inside $[[...]].")
def optional_outside_brackets(command: Command) -> Iterator[Finding]:
    """Outside, nothing can be put in its place when it is not given. With a default there is always something."""
    for reference, port in _inputs_read(command):
        if port.optional and port.default is None and not reference.is_optional:
            message = f'the command reads the optional input "{port.name}" outside $[[...]]'
            yield _at_command(command, reference, f"{message}; write $[[--{port.name} ${{{{inputs.{port.name}}}}}]]")


@rule(Command, "unused-input", WARNING, "An input that is declared is read by the command.")
def unused_input(command: Command) -> Iterator[Finding]:
    """Whoever sets it believes that it does something."""
    if _reads_variables(command):
        return
    dotted = list(_dotted(command, "inputs", "search_space"))
    read = {name for _, name, *_ in dotted} | {".".join(names) for _, *names in dotted}
    for name in command.component.inputs:
        if name not in read and f"AZURE_ML_INPUT_{name}" not in command.component.command:
            yield Finding(
                (*command.where, "inputs", name), f'the input "{name}" is declared, and the command never reads it'
            )
    of_a_job = () if command.where else command.search_space
    for name in sorted(of_a_job):
        if name not in read and name not in command.component.inputs:
            message = f"the command never reads ${{{{search_space.{name}}}}}: all its values are tried for nothing"
            yield Finding(("search_space", name), message)


@rule(Command, "unused-output", WARNING, "An output that is declared is in the command.")
def unused_output(command: Command) -> Iterator[Finding]:
    """Whoever reads it finds an empty folder. Azure itself fills the one that is called `artifacts`."""
    if _reads_variables(command):
        return
    read = {name for _, name, *_ in _dotted(command, "outputs")}
    for name, port in command.component.outputs.items():
        is_filled_by_azure = name == DEFAULT_ARTIFACTS and port.type == "uri_folder"
        if name not in read and not is_filled_by_azure and f"AZURE_ML_OUTPUT_{name}" not in command.component.command:
            message = f'the output "{name}" is declared, and the command never names it: nothing can be written there'
            yield Finding((*command.where, "outputs", name), message)


@rule(Command, "unquoted-string", WARNING, "A string that a shell would split or expand stands in quotes.")
def unquoted_string(command: Command) -> Iterator[Finding]:
    """A shell sees the value where the expression was, unquoted as Azure puts it.

    Most strings are one harmless word, and quotes would do nothing for them. So this speaks only where a value that is
    known, a default or one that a node gives, has a space or a character with a meaning to the shell in it; and not of
    spaces in what `echo` is to say.
    """
    known: dict[str, list[str]] = {}
    for name, text in command.given:
        if not is_to_be_filled_in(text):
            known.setdefault(name, []).append(text)
    for port in command.component.inputs.values():
        if port.default is not None:
            known.setdefault(port.name, []).append(port.default)
    for reference, program in unquoted(command.component.command):
        read = _port(command, reference)
        if read is None or read.type in PATH_TYPES:
            continue
        harmed = next((text for text in known.get(read.name, []) if is_harmed(text, program)), None)
        if harmed is not None:
            written = reference.written(command.component.command)
            message = f'the command reads "{read.name}" without quotes, and its value "{shown(harmed)}" is not one word'
            yield _at_command(command, reference, f'{message} to a shell; write "{written}"')


def _declared(command: Command, section: str) -> list[str]:
    if section == "search_space":
        return sorted(command.search_space)
    declared = command.component.inputs if section == "inputs" else command.component.outputs
    return [*declared, *(command.search_space if section == "inputs" else ())]


def _inputs_read(command: Command) -> Iterator[tuple[Reference, Port]]:
    for reference in references(command.component.command):
        if port := _port(command, reference):
            yield reference, port


def _reads_variables(command: Command) -> bool:
    """Whether its program takes everything from AZURE_ML_INPUT_... and the like: it declares much and names nothing."""
    declared = len(command.component.inputs) + len(command.component.outputs)
    return declared >= MANY and not any(_dotted(command, "inputs", "outputs", "search_space"))


def _dotted(command: Command, *sections: str) -> Iterator[list[str]]:
    """The expressions that read something of these sections, as their names."""
    for reference in references(command.component.command):
        if len(reference.parts) > 1 and reference.parts[0] in sections:
            yield reference.parts


def _port(command: Command, reference: Reference) -> Port | None:
    match reference.parts:
        case ["inputs", name, *_]:
            return command.component.inputs.get(name)
    return None


def _at_command(command: Command, reference: Reference, message: str) -> Finding:
    return Finding((*command.where, "command"), message, reference.written(command.component.command))
