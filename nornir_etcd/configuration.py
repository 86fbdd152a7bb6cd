"""Nornir out of its configuration file, and what is wrong with the inventory's files in words that name the place.

Nornir itself checks little: a variable that stands beside `data` and not in it is passed over in silence, and a host in
a group that does not exist ends in a bare KeyError.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nornir import InitNornir
from nornir.core.configuration import InventoryConfig
from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.workflows.inventory import WholeInventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir.core import Nornir
    from pydantic_core import ErrorDetails


class _Connection(BaseModel):
    """What SimpleInventory reads of an entry of connection_options."""

    model_config = ConfigDict(extra="forbid")

    hostname: StrictStr | None = None
    port: StrictInt | None = None
    username: StrictStr | None = None
    password: StrictStr | None = None
    platform: StrictStr | None = None
    extras: dict[Any, Any] | None = None


class _Defaults(BaseModel):
    """What SimpleInventory reads of the defaults."""

    model_config = ConfigDict(extra="forbid")

    hostname: StrictStr | None = None
    port: StrictInt | None = None
    username: StrictStr | None = None
    password: StrictStr | None = None
    platform: StrictStr | None = None
    data: dict[Any, Any] | None = None
    connection_options: dict[StrictStr, _Connection] = {}


class _Element(_Defaults):
    """What SimpleInventory reads of a host or group."""

    groups: list[StrictStr] | None = None


FILES = {
    "host_file": ("hosts.yaml", TypeAdapter[Any](dict[StrictStr, _Element])),
    "group_file": ("groups.yaml", TypeAdapter[Any](dict[StrictStr, _Element])),
    "defaults_file": ("defaults.yaml", TypeAdapter[Any](_Defaults)),
}
"""SimpleInventory's options: where each file is sought by default, and what it holds."""
WANTED = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a number",
}
KINDS = {"dict": "a mapping", "list": "a list", "str": "text", "NoneType": "nothing", "int": "a number"}


def init_nornir(path: Path) -> Nornir:
    """Return Nornir as a configuration file describes it.

    Args:
        path: the file, as for `InitNornir(config_file=...)`.

    Raises:
        InventoryError: the configuration or the inventory cannot be read, with every fault of its files.
    """
    if not path.is_file():
        raise InventoryError(f"{path}: wanted Nornir's configuration, found no such file; name one with --config")
    content = _yaml(path, "utf-8")
    if not isinstance(content, dict):
        raise InventoryError(f"{path}: wanted a mapping, Nornir's configuration, found something else or nothing")
    try:
        config = InventoryConfig(**content.get("inventory", {}))
        faults = list(_faults(config.options)) if config.plugin == "SimpleInventory" else []
        nr = None if faults else InitNornir(config_file=str(path))
    except InventoryError:
        raise  # our own inventory plugin's, in as many lines as there are faults
    except Exception as error:  # whatever a plugin of Nornir's raises at its start
        said = " ".join(str(error).split()) or type(error).__name__
        raise InventoryError(f"{path}: Nornir does not start with it: {said}") from error
    if nr is None:
        raise InventoryError(*faults)
    nr.inventory = WholeInventory(nr.inventory.hosts, nr.inventory.groups, nr.inventory.defaults)
    return nr


def _yaml(path: Path, encoding: str) -> object:
    """Return the content of a YAML file.

    Raises:
        InventoryError: it cannot be read. No value of it is told, since it may be a password.
    """
    try:
        with path.open(encoding=encoding) as stream:
            return YAML(typ="safe").load(stream)
    except OSError as error:
        raise InventoryError(f"{path}: wanted a file that can be read, found: {error.strerror}") from error
    except MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = str(error.problem).partition(" with value ")[0]
        raise InventoryError(f"{path}: {place}wanted YAML, {problem}") from error
    except (YAMLError, UnicodeError) as error:
        raise InventoryError(f"{path}: wanted YAML as {encoding} text, found other bytes") from error


def _faults(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield every fault of the files of a SimpleInventory."""
    found: dict[str, Any] = {}
    for option, (default, wanted) in FILES.items():
        path = Path(options.get(option, default)).expanduser()
        if option != "host_file" and not path.exists():
            found[option] = {}
            continue
        try:
            found[option] = wanted.validate_python(_yaml(path, options.get("encoding", "utf-8")) or {})
        except ValidationError as error:
            yield from (_fault(path, one) for one in error.errors(include_url=False))
        except InventoryError as error:
            yield from error.problems
    if "host_file" in found and "group_file" in found:
        yield from _group_faults(found["host_file"], found.get("group_file", {}))


def _fault(path: Path, error: ErrorDetails) -> str:
    """Return a fault in words. What was found is told by its kind alone: it may be a password."""
    *above, last = (str(part) for part in error["loc"] if part != "[key]") if error["loc"] else ("",)
    place = ": ".join([str(path), *above, last] if last else [str(path)])
    if error["type"] == "extra_forbidden":
        return f"{place}: no such key; a variable stands under data"
    kind = type(error["input"]).__name__
    return f"{place}: wanted {WANTED.get(error['type'], error['msg'])}, found {KINDS.get(kind, kind)}"


def _group_faults(hosts: Mapping[str, _Element], groups: Mapping[str, _Element]) -> Iterator[str]:
    """Yield groups that do not exist, and groups that are their own ancestors, which Nornir would follow for ever."""
    for what, elements in (("host", hosts), ("group", groups)):
        for name, element in elements.items():
            for group in element.groups or ():
                if group not in groups:
                    known = ", ".join(groups) or "none"
                    yield f"{what} {name}: groups: wanted a group of the inventory ({known}), found '{group}'"
    for name in groups:
        above, ahead = set[str](), [name]
        while ahead:
            parents = [one for one in groups[ahead.pop()].groups or () if one in groups and one not in above]
            above.update(parents)
            ahead += parents
        if name in above:
            yield f"group {name}: groups: wanted no circle, found that the group is in itself"
