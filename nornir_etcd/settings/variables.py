"""Variables in layers: which value holds for a host, and what its Jinja references come to."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nornir_etcd.settings.problems import named, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2.runtime import Context

OVERRIDES = "--set"
DEFAULTS = "the role's defaults"

_MARKS = ("{{", "{%", "{#")
_BARE_NAME = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", re.ASCII)
_MAX_DEPTH = 8
_MAX_REFERENCES = 50
_MAX_POWER = 1024
_MAX_MESSAGE = 200
_DIGITS = re.compile(r"[0-9]")
_WORDS = re.compile(r"[-_. ]")
_MAX_SLIPS = 2
_MAX_SLIP_RATE = 0.15


@dataclass(frozen=True)
class HostVariables:
    """A host of the inventory as plain data.

    Args:
        name: the host's name in the inventory.
        hostname: the address Nornir connects to, if one is set.
        layers: the host's data, then each group's in Nornir's order, then the defaults': nearest first, each with the
            name it has in messages ("host master-1", "group etcd", "defaults"). Data is what YAML gave: that it is no
            mapping is a problem of the host.
    """

    name: str
    hostname: str | None
    layers: tuple[tuple[str, object], ...]


class Unresolvable(Exception):
    """A variable has no value; why is among the problems of its Variables."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which also refuses the operators that fill memory or never end."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers or (operator == "**" and max(abs(left), abs(right)) > _MAX_POWER):
            raise SecurityError(f"{operator} is for numbers, and for powers of small ones")
        return super().call_binop(context, operator, left, right)


def _environment() -> _Sandbox:
    environment = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.globals = {"range": environment.globals["range"]}  # the sandbox's own, which is bounded
    return environment


_ENVIRONMENT = _environment()


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> tuple[Template, frozenset[str]]:
    """Return a template and the names that it refers to."""
    return _ENVIRONMENT.from_string(text), frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)))


class Variables:
    """The variables of one host, rendered when asked for.

    Args:
        layers: names and values, nearest first.
        facts: what is known of the host under a name that no layer sets; never rendered.

    Attributes:
        problems: (variable, text) of each variable that cannot be resolved.
        references: the names that each variable asked for refers to.
    """

    def __init__(self, layers: Iterable[tuple[str, Mapping[Any, Any]]], facts: Mapping[str, Any]) -> None:
        self._raw: dict[str, Any] = {}
        self._sources: dict[str, str] = {}
        for source, data in layers:
            for key, value in data.items():
                if isinstance(key, str) and key not in self._raw:
                    self._raw[key] = value
                    self._sources[key] = source
        self._values: dict[str, Any] = {key: value for key, value in facts.items() if key not in self._raw}
        self._failed: set[str] = set()
        self._asked: list[str] = []
        self.problems: list[tuple[str, str]] = []
        self.references: dict[str, frozenset[str]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._raw or key in self._values

    def raw(self, key: str) -> Any:
        """Return a value as it was written."""
        return self._raw[key] if key in self._raw else self._values[key]

    def source(self, key: str) -> str:
        """Return the layer that sets a variable; empty for a fact."""
        return self._sources.get(key, "")

    def resolved(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those variables that have one."""
        return {key: self._values[key] for key in keys if key in self and self._has_value(key)}

    def _has_value(self, key: str) -> bool:
        try:
            self.value(key)
        except Unresolvable:
            return False
        return True

    def value(self, key: str) -> Any:
        """Return a variable's value, rendered.

        Raises:
            Unresolvable: where it has none; the reason is added to problems, once.
        """
        if key in self._values:
            return self._values[key]
        if key in self._asked:
            cycle = [*self._asked[self._asked.index(key) :], key]
            self._fail(f"refers to itself: {' -> '.join(named(name) for name in cycle)}", key)
        if key in self._failed:
            raise Unresolvable(key)
        self._asked.append(key)
        try:
            if len(self._asked) > _MAX_REFERENCES:
                self._fail(f"refers to others that refer to others, more than {_MAX_REFERENCES} deep", self._asked[0])
            self._values[key] = self._rendered(self._raw[key], 0)
        except Unresolvable:
            self._failed.add(key)
            raise
        finally:
            self._asked.pop()
        return self._values[key]

    def _fail(self, text: str, key: str = "") -> NoReturn:
        self.problems.append((key or self._asked[-1], text))
        raise Unresolvable(key)

    def _rendered(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            self._fail(f"lists and mappings are nested more than {_MAX_DEPTH} deep")
        if isinstance(value, str) and any(mark in value for mark in _MARKS):
            return self._render(value)
        if isinstance(value, Mapping):
            return {key: self._rendered(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._rendered(item, depth + 1) for item in value]
        return value

    def _render(self, text: str) -> Any:
        try:
            template, names = _compiled(text)
        except TemplateSyntaxError as error:
            self._fail(f"{shown(text)} is no valid Jinja: {error.message}")
        except Exception as error:  # noqa: BLE001 - whatever Python says to what Jinja made of it
            self._fail(f"{shown(text)} is no valid Jinja: {type(error).__name__}")
        key = self._asked[-1]
        self.references[key] = self.references.get(key, frozenset()) | names
        bare = _BARE_NAME.fullmatch(text)
        if bare and bare[1] in self:
            return self.value(bare[1])  # keeps its type: a list stays one
        known = {name: self.value(name) for name in sorted(names) if name in self}
        try:
            return template.render(known)
        except UndefinedError as error:
            missing = next((name for name in names if error.message == f"'{name}' is undefined"), "")
            if missing:
                hint = nearest(missing, self._raw.keys() | self._values.keys())
                self._fail(
                    f"{shown(text)} refers to {missing}, which is not defined" + (hint and f"; nearest is {hint}")
                )
            self._fail(f"{shown(text)} cannot be rendered: {_cut(error)}")
        except SecurityError as error:
            self._fail(f"{shown(text)} is refused: {_cut(error)}")
        except Exception as error:  # noqa: BLE001 - a template may raise whatever Python can
            self._fail(f"{shown(text)} cannot be rendered: {type(error).__name__}: {_cut(error)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like this one; empty where none is alike."""
    found = difflib.get_close_matches(name, known, 1)
    return named(found[0]) if found else ""


@functools.lru_cache(maxsize=4096)
def near_miss(name: str, ours: tuple[str, ...]) -> str:
    """Return the variable of ours that a name nearly is, or an empty string.

    A name is one of ours misspelt when it differs in case, dashes and underscores alone, or when it has as many words
    and at most two letters differ (one mistyped or two swapped). Names with another word or digit are left alone:
    etcd_backup_dir, etcdctl_version, registry2.
    """
    one = _squashed(name)
    for known in () if name in ours else ours:
        other = _squashed(known)
        if one == other:
            return known
        letters = len(one) + len(other)
        same_words = len(_WORDS.split(name)) == len(_WORDS.split(known))
        if not same_words or _DIGITS.findall(name) != _DIGITS.findall(known) or abs(len(one) - len(other)) > _MAX_SLIPS:
            continue
        matches = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
        slips = letters - 2 * sum(block.size for block in matches)
        if slips <= min(_MAX_SLIPS, _MAX_SLIP_RATE * letters):
            return known
    return ""


def _squashed(name: str) -> str:
    return _WORDS.sub("", name).lower()


def _cut(error: Exception) -> str:
    return str(error)[:_MAX_MESSAGE]
