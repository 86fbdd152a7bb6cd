"""YAML as Ansible reads it: its tags, and that what its vault has encrypted is refused. Pure."""

from __future__ import annotations

from typing import Any

import yaml

from nornir_etcd.exceptions import InventoryError

VAULT = "$ANSIBLE_VAULT;"
"""How a file begins that Ansible's vault has encrypted as a whole."""
_REMEDY = "see it with `ansible-vault view`, and give it outside the inventory"

_BROKEN = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises; some of its tags let through whatever Python says to a wrong value."""


class Unsafe(str):
    """A text tagged `!unsafe`: Jinja in it is text."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Safe YAML 1.1 with Ansible's tags. What is encrypted is noted, and stands there as nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.encrypted: list[int] = []

    def vault(self, node: yaml.Node) -> None:
        self.encrypted.append(node.start_mark.line + 1)

    def unsafe(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self.unsafe(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return {self.construct_object(key, deep=True): self.unsafe(item) for key, item in node.value}
        value = self.construct_yaml_str(node) if isinstance(node, yaml.ScalarNode) else None
        return Unsafe(value) if isinstance(value, str) else value


for _tag in ("!vault", "!vault-encrypted"):
    _Loader.add_constructor(_tag, _Loader.vault)
_Loader.add_constructor("!unsafe", _Loader.unsafe)


def refuse_vault(text: str, file: str) -> None:
    """Refuse a file that is encrypted as a whole.

    Raises:
        InventoryError: it is.
    """
    if text.startswith(VAULT):
        raise InventoryError(f"{file}: wanted a file that can be read, found one of Ansible's vault; {_REMEDY}")


def load(text: str, file: str) -> Any:
    """Return what a YAML document holds.

    Args:
        text: the file's content.
        file: its path, as it is told.

    Raises:
        InventoryError: it is no YAML, or encrypted, as a whole or in some of its values: one line each. No value of it
            is told, since it may be a password.
    """
    refuse_vault(text, file)
    try:
        loader = _Loader(text)
        content = loader.get_single_data()
        circular = _is_circular(content)
    except yaml.MarkedYAMLError as error:
        place = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InventoryError(f"{file}{place}: wanted YAML, {error.problem or error.context}") from error
    except _BROKEN as error:
        raise InventoryError(f"{file}: wanted YAML, found something else") from error
    if circular:
        raise InventoryError(f"{file}: wanted YAML, found an alias of what it stands in")
    if loader.encrypted:
        raise InventoryError(
            *(
                f"{file}:{line}: wanted a value that can be read, found one of Ansible's vault (!vault); {_REMEDY}"
                for line in loader.encrypted
            )
        )
    return content


def _is_circular(value: object, above: frozenset[int] = frozenset()) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    within = above | {id(value)}
    items = value.values() if isinstance(value, dict) else value
    return id(value) in above or any(_is_circular(item, within) for item in items)
