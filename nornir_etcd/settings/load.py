"""Hosts of the inventory to Settings, with everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import values
from nornir_etcd.settings.model import Settings
from nornir_etcd.settings.problems import Problem, Unwanted, problem_lines, shown
from nornir_etcd.settings.rules import ADVICE, RULES, Rule
from nornir_etcd.settings.variables import (
    DEFAULTS,
    OVERRIDES,
    HostVariables,
    Variables,
    near_miss,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

NAMES = tuple(Settings.model_fields)
_INVENTORY_ALONE = ("etcd_sudo_password_env",)
"""Variables that are needed as soon as a host is spoken to, and so are read from Nornir's host as they stand there."""
ROLE_DEFAULTS = {
    name: field.default
    for name, field in Settings.model_fields.items()
    if not field.is_required() and field.default is not None  # None: derived later, so nothing can refer to it
}
"""What holds of each variable where no layer sets it; Jinja in it is not rendered."""


@dataclass(frozen=True)
class HostSettings:
    """The settings of one host and what is wrong with them.

    Args:
        settings: what could be resolved; a variable that is faulty has a stand-in here.
        faulty: the variables that have no usable value; no further conclusion may rest on them.
        sources: the layer that sets each variable.
    """

    settings: Settings
    faulty: frozenset[str]
    sources: Mapping[str, str]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load_settings(
    hosts: Sequence[HostVariables], overrides: Mapping[str, str] | None = None
) -> tuple[dict[str, Settings], tuple[str, ...]]:
    """Return the settings of each host by name, and warnings.

    Args:
        hosts: the hosts with their variables, each set nearest first.
        overrides: values of --set, above every layer of every host.

    Raises:
        InventoryError: with every fault found, one line each.
    """
    checked, problems = check_hosts(hosts, overrides or {})
    if problems:
        raise InventoryError(*problem_lines(problems))
    warnings = [warning for host in checked.values() for warning in host.warnings]
    return {name: host.settings for name, host in checked.items()}, problem_lines(warnings)


def check_hosts(
    hosts: Sequence[HostVariables], overrides: Mapping[str, str]
) -> tuple[dict[str, HostSettings], list[Problem]]:
    """Return what became of each host, and the problems of all."""
    checked = {host.name: _check_host(host, overrides) for host in hosts}
    problems = [*_unknown_overrides(hosts, overrides), *(fault for host in checked.values() for fault in host.problems)]
    return checked, problems


def _unknown_overrides(hosts: Sequence[HostVariables], overrides: Mapping[str, str]) -> Iterable[Problem]:
    known = {key for host in hosts for _, data in _layers(host) for key in data if isinstance(key, str)} | set(NAMES)
    for key in overrides:
        if key not in known or near_miss(key, NAMES):
            hint = nearest(key, NAMES)
            yield Problem(OVERRIDES, key, "no such variable" + (hint and f"; nearest is {hint}"))
        elif key in _INVENTORY_ALONE:
            yield Problem(OVERRIDES, key, "it is read from the inventory alone: set it there")


def _layers(host: HostVariables) -> list[tuple[str, Mapping[object, Any]]]:
    return [(source, data) for source, data in host.layers if isinstance(data, Mapping)]


def _check_host(host: HostVariables, overrides: Mapping[str, str]) -> HostSettings:
    facts = {"etcd_address": host.hostname or host.name, "inventory_hostname": host.name}  # Ansible's word for the name
    variables = Variables([(OVERRIDES, overrides), *_layers(host), (DEFAULTS, ROLE_DEFAULTS)], facts)
    resolved = variables.resolved(NAMES)
    settings, unwanted = _validated(resolved)
    faults = dict(variables.problems)
    faults.update({key: error.against(_found(key, resolved[key], variables)) for key, error in unwanted.items()})
    problems = [
        *_name_problems(host),
        *(
            Problem(host.name, key, text, variables.source(key))
            for key, text in faults.items()
            if not _follows_from(unwanted.keys() - {key}, key, variables)
        ),
    ]
    unresolved = frozenset(name for name in NAMES if name in variables) - resolved.keys()
    faulty = unresolved | unwanted.keys()
    problems += [*_broken(RULES, host, settings, faulty, variables), *_near_misses(host, variables)]
    sources = {name: variables.source(name) for name in NAMES}
    return HostSettings(settings, faulty, sources, tuple(problems), _broken(ADVICE, host, settings, faulty, variables))


def _name_problems(host: HostVariables) -> Iterable[Problem]:
    try:
        values.member_name(host.name)
    except Unwanted as error:
        yield Problem(host.name, "name", error.against(shown(host.name)))
    for source, data in host.layers:
        if not isinstance(data, Mapping):
            yield Problem(host.name, "data", f"wanted a mapping of variables, found {shown(data)}", source)


def _validated(resolved: Mapping[str, Any]) -> tuple[Settings, dict[str, Unwanted]]:
    """Return settings and the variables that are unwanted; a stand-in takes the place of what is unusable."""
    given = {**_STAND_INS, **resolved}
    try:
        return Settings.model_validate(given), {}
    except ValidationError as error:
        unwanted = {str(fault["loc"][0]): fault["ctx"]["error"] for fault in error.errors(include_url=False)}
    return Settings.model_validate({**given, **{name: _STAND_INS[name] for name in unwanted}}), unwanted


def _stand_ins() -> dict[str, Any]:
    """Return a usable value for every variable: the default, or an address for documentation (RFC 5737)."""
    unset = {name: None for name, field in Settings.model_fields.items() if field.default is None}
    facts = {"etcd_address": "192.0.2.1", **unset}
    return Variables([(DEFAULTS, ROLE_DEFAULTS)], facts).resolved(NAMES)


_STAND_INS = _stand_ins()


def _follows_from(unwanted: AbstractSet[str], key: str, variables: Variables) -> bool:
    """Tell whether a variable refers, directly or not, to one whose value is unwanted: that one alone is reported."""
    seen: set[str] = set()
    ahead = {key}
    while ahead:
        seen |= ahead
        ahead = {name for asked in ahead for name in variables.references.get(asked, frozenset())} - seen
        if ahead & unwanted:
            return True
    return False


def _found(key: str, value: object, variables: Variables) -> str:
    raw = variables.raw(key)
    if variables.references.get(key):
        return f"{shown(value)} from {shown(raw)}"
    if key == "etcd_address" and not variables.source(key):
        return f"{shown(value)} (the host's hostname, else its name)"
    return shown(value)


def _broken(
    rules: Iterable[Rule], host: HostVariables, settings: Settings, faulty: frozenset[str], variables: Variables
) -> tuple[Problem, ...]:
    usable = [rule for rule in rules if faulty.isdisjoint(rule.variables)]
    found = [(rule.variables[0], rule.check(settings)) for rule in usable]
    return tuple(Problem(host.name, key, text, variables.source(key)) for key, text in found if text)


def _near_misses(host: HostVariables, variables: Variables) -> Iterable[Problem]:
    referred = frozenset[str]().union(*variables.references.values())
    for source, data in _layers(host):
        for key in data:
            if not isinstance(key, str) or key in referred:
                continue
            if ours := near_miss(key, NAMES):
                yield Problem(host.name, key, f"no such variable; nearest is {ours}", source)
