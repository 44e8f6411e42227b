"""YAML with line numbers: read without running anything, and bounded in size and depth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from azureml_local.checks.table import Where

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000  # aliases written out
DEEPEST = 60
MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()


class UnreadableError(Exception):
    """A file that cannot be read as YAML; its text is the reason, and it knows the line."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.line = line


DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?([Tt]|[ \t]+)\d\d?:\d\d:\d\d[^a-z]*")  # to YAML 1.1


@dataclass
class Document:
    """A YAML file: its value, and where and how each part of it is written."""

    path: Path
    text: str
    value: Any = None
    lines: dict[Where, int] = field(default_factory=dict)  # of a field's name, or of an item of a list
    duplicates: list[Where] = field(default_factory=list)
    misread: dict[Where, str] = field(default_factory=dict)  # words without quotes of which YAML makes something else
    dates: dict[Where, str] = field(default_factory=dict)  # what YAML takes for a date or a time, as it is written
    unsendable: dict[Path, str] = field(default_factory=dict)  # a path that it names -> why it cannot be sent, or ""
    overridden: set[Where] = field(default_factory=set)  # what the command line gives in place of the file

    def line(self, where: Where, excerpt: str = "") -> int:
        """The line of a field, or of the nearest one around it; of the excerpt, where it is found below that."""
        while where and where not in self.lines:
            where = where[:-1]
        first = self.lines.get(where, 1)
        if excerpt:
            words = excerpt.split()[0]
            for number, text in enumerate(self.text.splitlines()[first - 1 :], first):
                if words in text:
                    return number
        return first

    def override(self, where: Where) -> str:
        """The key by which the command line gives a field, or what is around it; empty where the file does."""
        given = [key for key in self.overridden if where[: len(key)] == key]
        return ".".join(given[0]) if given else ""


@dataclass
class _Node:
    line: int
    scalar: Any = None
    text: str | None = None  # of a scalar without quotes
    is_merge: bool = False
    items: list[_Node] | None = None
    pairs: list[tuple[_Node, _Node]] | None = None


def read(path: Path) -> Document:
    """The one document of a YAML file. Raises UnreadableError with the reason and its line."""
    try:
        if not path.is_file() and path.exists():
            raise UnreadableError("is a folder, a pipe or a device")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise UnreadableError(f"has {len(data)} bytes; at most {MOST_BYTES} are read")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("is not UTF-8 text", data[: error.start].count(b"\n") + 1) from error
    document = Document(path, text)
    root = _Composer(text).root()
    document.value = _Writer(document).value(root, (), 0) if root else None
    return document


class _Composer:
    """From the parser's events to a tree. A tree of our own: PyYAML's composer crashes on deep nesting."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, _Node] = {}
        self._count = 0

    def root(self) -> _Node | None:
        try:
            root: _Node | None = None
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if root:
                        raise UnreadableError("has more than one document", _line(event))
                    root = self._node(next(self._events), 0)
            return root
        except yaml.YAMLError as error:
            mark: Any = getattr(error, "problem_mark", None)
            reason = f"is not valid YAML: {getattr(error, 'problem', None) or error}"
            raise UnreadableError(reason, mark.line + 1 if mark else 1) from error

    def _node(self, event: Any, depth: int) -> _Node:
        line = _line(event)
        if depth > DEEPEST:
            raise UnreadableError("is nested too deeply", line)
        self._count += 1
        if self._count > MOST_VALUES:
            raise UnreadableError(f"has more than {MOST_VALUES} values", line)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise UnreadableError(f'is not valid YAML: there is no anchor "{event.anchor}"', line)
            return self._anchors[event.anchor]
        node = _scalar(event, line) if isinstance(event, yaml.ScalarEvent) else _Node(line)
        if node.scalar is None and event.tag and not event.tag.startswith("tag:yaml.org,2002:"):
            raise UnreadableError(f'is not valid YAML: nobody knows the tag "{event.tag}"', line)
        if event.anchor:
            self._anchors[event.anchor] = node
        if isinstance(event, yaml.SequenceStartEvent):
            node.items = []
            for inner in iter(self._events.__next__, None):
                if isinstance(inner, yaml.SequenceEndEvent):
                    break
                node.items.append(self._node(inner, depth + 1))
        elif isinstance(event, yaml.MappingStartEvent):
            node.pairs = []
            for inner in iter(self._events.__next__, None):
                if isinstance(inner, yaml.MappingEndEvent):
                    break
                key = self._node(inner, depth + 1)
                node.pairs.append((key, self._node(next(self._events), depth + 1)))
        return node


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: Any, line: int) -> _Node:
    is_plain = not event.style
    tag = event.tag if event.tag and event.tag != "!" else None
    tag = tag or _RESOLVER.resolve(yaml.ScalarNode, event.value, (is_plain, not is_plain))
    node = _Node(line, event.value, event.value if is_plain else None, is_plain and tag == MERGE)
    if tag not in (TEXT, MERGE) and not tag.endswith(":timestamp"):
        try:
            node.scalar = _CONSTRUCTOR.construct_object(yaml.ScalarNode(tag, event.value))
        except yaml.YAMLError as error:
            reason = getattr(error, "problem", None) or error
            raise UnreadableError(f"is not valid YAML: {reason}", line) from error
        except ValueError:  # a number that Python refuses to read, such as one of 5000 digits
            pass
    return node


class _Writer:
    """From the tree to plain values, noting the line of every field; aliases are written out, up to a limit."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def value(self, node: _Node, where: Where, depth: int) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise UnreadableError(f"has more than {MOST_VALUES} values, its aliases written out", node.line)
        if depth > DEEPEST:
            raise UnreadableError("is nested too deeply", node.line)
        self._document.lines.setdefault(where, node.line)
        if node.pairs is not None:
            return self._mapping(node, where, depth)
        if node.items is not None:
            return [self.value(item, (*where, str(index)), depth + 1) for index, item in enumerate(node.items)]
        if node.text is not None and _is_misread(node):
            self._document.misread[where] = node.text
        if node.text is not None and DATE.fullmatch(node.text):
            self._document.dates[where] = node.text
        return node.scalar

    def _mapping(self, node: _Node, where: Where, depth: int) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for key, value in self._pairs(node, 0):
            name = _name(key)
            inner = (*where, name)
            self._document.lines[inner] = key.line
            written[name] = self.value(value, inner, depth + 1)
            if isinstance(key.scalar, bool):
                self._document.misread[inner] = name
            if key.text is not None and DATE.fullmatch(key.text):
                self._document.dates[inner] = key.text
        counted = Counter(_name(key) for key, _ in node.pairs or [] if not key.is_merge)
        self._document.duplicates += [(*where, name) for name, count in counted.items() if count > 1]
        return written

    def _pairs(self, node: _Node, depth: int) -> Iterator[tuple[_Node, _Node]]:
        """The pairs of a mapping, those that it merges first, so that its own win."""
        if depth > DEEPEST:
            raise UnreadableError("merges itself", node.line)
        for key, value in node.pairs or []:
            if key.is_merge:
                for merged in value.items if value.items is not None else [value]:
                    self._count += len(merged.pairs or [])
                    if self._count > MOST_VALUES:
                        raise UnreadableError(f"has more than {MOST_VALUES} values, its aliases written out", node.line)
                    yield from self._pairs(merged, depth + 1)
        yield from (pair for pair in node.pairs or [] if not pair[0].is_merge)


def _name(key: _Node) -> str:
    name = key.text if key.text is not None else key.scalar
    if not isinstance(name, str):
        said = "a mapping or a list, as {{NAME}} is to YAML" if name is None else "not a text"
        raise UnreadableError(f"has a field whose name is {said}: write it in quotes", key.line)
    return name


def _is_misread(node: _Node) -> bool:
    """Whether YAML 1.1 makes something of a word that most people would not: no, on, 1.10, 010, 12:30."""
    text, value = node.text or "", node.scalar
    if isinstance(value, bool):
        return text.lower() not in {"true", "false"}
    if isinstance(value, int):
        return not text.lstrip("+-").isdecimal() or int(text) != value
    return isinstance(value, float) and text.endswith("0") and "." in text and not text.endswith(".0")
