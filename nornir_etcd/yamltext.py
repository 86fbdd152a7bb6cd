"""Edits of YAML as text: every byte that is not part of an edit stays. Pure: no I/O.

No library's dump keeps them: the round trip of ruamel.yaml rewrites `null`, folds long lines and moves the dashes of
lists. Here a parser only says where things stand. What an edit comes to must be read again by who makes it: YAML has
more shapes than these functions foresee.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What any YAML parser takes for a string without quotes: a flag or a path, and the key of an annotation.
_PLAIN = re.compile(r"(?:--|/)[\w./=@%+-]+(?:[:,][\w./=@%+-]+)*", re.ASCII)
_PLAIN_KEY = re.compile(r"annotations|[A-Za-z][\w.-]*/[\w.-]*\w", re.ASCII)
_UNPRINTABLE = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_DASH = re.compile(r"[ \t]*-[ \t]+")


@dataclass(frozen=True, order=True)
class Edit:
    """A piece of a text and what takes its place."""

    start: int
    end: int
    text: str


def quoted(value: object) -> str:
    """Return a value as a JSON string, which YAML reads as the same string whatever is in it."""
    text = json.dumps(str(value), ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def compose(text: str) -> yaml.MappingNode:
    """Return where everything stands in a document that is a mapping.

    Raises:
        ValueError: where it is none, or has aliases, so that one place is several: in one line.
    """
    try:
        aliases = [event for event in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(event, yaml.AliasEvent)]
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"wanted YAML, found {' '.join(str(error).split())}") from error
    if aliases:
        raise ValueError(f"wanted no alias, found *{aliases[0].anchor}")
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("wanted a mapping, found something else")  # noqa: TRY004 - a wrong text, no wrong call
    return node


def entry(mapping: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return a mapping's key and its value; the last one counts. None where it is not there."""
    found = [pair for pair in mapping.value if isinstance(pair[0], yaml.ScalarNode) and pair[0].value == key]
    return found[-1] if found else None


def replace(node: yaml.Node, value: str, *, flow: bool = False) -> Edit:
    """Return the edit that gives a scalar another value, quoted as it was.

    Args:
        node: the scalar.
        value: its new value.
        flow: whether it stands in `[...]` or `{...}`, where a comma ends what has no quotes.

    Raises:
        ValueError: where it is no scalar, or is written over several lines.
    """
    line = node.start_mark.line
    if not isinstance(node, yaml.ScalarNode) or line != node.end_mark.line:
        raise ValueError(f"wanted a string on one line, found something else in line {line + 1}")
    if node.style == "'" and value.isprintable():
        text = "'" + value.replace("'", "''") + "'"
    elif node.style is None and _PLAIN.fullmatch(value) and not (flow and "," in value):
        text = value
    else:
        text = quoted(value)
    return Edit(node.start_mark.index, node.end_mark.index, text)


def append(text: str, sequence: yaml.SequenceNode, values: Iterable[str]) -> Edit:
    """Return the edit that adds strings at the end of a list, which has at least one.

    Args:
        text: the document.
        sequence: the list in it.
        values: what is added.

    Raises:
        ValueError: where its last item is written over several lines, or not behind a dash.
    """
    last = sequence.value[-1]
    start, end = last.start_mark.index, last.end_mark.index
    if sequence.flow_style:
        return Edit(end, end, "".join(f", {quoted(value)}" for value in values))
    before = text[text.rfind("\n", 0, start) + 1 : start]
    if last.start_mark.line != last.end_mark.line or not _DASH.fullmatch(before):
        line = last.start_mark.line + 1
        raise ValueError(f"wanted a last item behind a dash and on one line, found something else in line {line}")
    at = _line_end(text, end)
    return Edit(at, at, "".join(f"{_newline(text)}{before}{_plain(value)}" for value in values))


def insert(text: str, pair: tuple[yaml.Node, yaml.Node], entries: Mapping[str, str | Mapping[str, str]]) -> Edit:
    """Return the edit that adds entries to a mapping, or to what is empty, before those that it has.

    Args:
        text: the document.
        pair: the key that it stands under, and the mapping.
        entries: strings, or mappings of strings, by keys that it does not have.

    Raises:
        ValueError: where it is neither a mapping nor empty, or does not begin as a mapping should.
    """
    key, node = pair
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return Edit(start, end, f"{' ' if start == end else ''}{_flow(entries)}")
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise ValueError(f"wanted a mapping, found something else in line {line}")  # noqa: TRY004 - see above
    if node.flow_style:
        if text[start] != "{":
            raise ValueError(f"wanted a brace, found something else in line {node.start_mark.line + 1}")
        return Edit(start + 1, start + 1, _flow(entries)[1:-1] + (", " if node.value else ""))
    first, at = node.value[0][0].start_mark, _line_end(text, key.end_mark.index)
    if first.index <= at:
        raise ValueError(f"wanted a mapping below its key, found something else in line {first.line + 1}")
    lines = _block(entries, " " * first.column)
    return Edit(at, at, "".join(f"{_newline(text)}{line}" for line in lines))


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return a text after edits, no two of which overlap."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _block(entries: Mapping[str, str | Mapping[str, str]], indent: str) -> Iterator[str]:
    for name, value in entries.items():
        key = name if _PLAIN_KEY.fullmatch(name) else quoted(name)
        if isinstance(value, str):
            yield f"{indent}{key}: {quoted(value)}"
        else:
            yield f"{indent}{key}:"
            yield from _block(value, f"{indent}  ")


def _flow(entries: Mapping[str, str | Mapping[str, str]]) -> str:
    """Return a mapping as JSON, which is YAML as well."""
    pairs = ((name, quoted(value) if isinstance(value, str) else _flow(value)) for name, value in entries.items())
    return "{" + ", ".join(f"{quoted(name)}: {value}" for name, value in pairs) + "}"


def _plain(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else quoted(value)


def _newline(text: str) -> str:
    return "\r\n" if text[: text.find("\n") + 1].endswith("\r\n") else "\n"


def _line_end(text: str, at: int) -> int:
    """Return where the line that `at` is in ends, before the characters that end it."""
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[at:end].endswith("\r") else end
