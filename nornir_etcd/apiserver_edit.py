"""The manifest of a kube-apiserver with other flags and annotations. Pure: no I/O.

It belongs to whoever wrote it (kubeadm, as a rule): of it nothing is changed but what is asked for.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import yaml

from nornir_etcd import yamltext
from nornir_etcd.apiserver import CONTAINER, container_of, flags_of, words_of
from nornir_etcd.manifest import pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def edited(text: str, *, flags: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Return the manifest with these flags and annotations, every other byte as it was.

    Flags that are not there are added after the last one. The result is read again: where it differs from the original
    in anything else, there is none.

    Args:
        text: the manifest.
        flags: values by flag, without dashes.
        annotations: values by key.

    Raises:
        ValueError: where the manifest is none of an API server, or has a shape that cannot be edited: in one line.
    """
    before = pod(text)
    wanted = _wanted(before, flags, annotations)
    if wanted == before:
        return text
    document = yamltext.compose(text)
    edits = [*_flag_edits(text, document, flags), *_annotation_edits(text, document, annotations)]
    result = yamltext.apply(text, edits)
    if pod(result) != wanted:
        raise ValueError("wanted a manifest that can be edited line by line, found one that would change elsewhere too")
    return result


def _changes(words: Sequence[str], flags: Mapping[str, str]) -> tuple[dict[int, str], list[str]]:
    """Return the words that change, by index, and those that are added."""
    changed: dict[int, str] = {}
    added: list[str] = []
    for name, found in flags_of(words, flags).items():
        value = flags[name]
        escaped = value.replace("$", "$$")
        if len(found) > 1:
            raise ValueError(f"wanted --{name} once, found it {len(found)} times")
        if not found:
            added.append(f"--{name}={escaped}")
        elif found[0].value != value:
            changed[found[0].at] = f"{found[0].head}{escaped}"
    return changed, added


def _wanted(manifest: dict[str, Any], flags: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return what an edited manifest must say."""
    wanted = copy.deepcopy(manifest)
    container = container_of(wanted)
    words = words_of(container)
    changed, added = _changes(words, flags)
    words = [changed.get(at, word) for at, word in enumerate(words)]
    count = len(container.get("command") or [])
    parts = {"command": words[:count], "args": words[count:]}
    parts["args" if parts["args"] else "command"] += added
    container |= {key: part for key, part in parts.items() if part}
    if annotations:
        metadata = wanted.get("metadata")
        if not isinstance(metadata, dict):
            raise ValueError("wanted metadata, found none")
        present = metadata.get("annotations")
        if not isinstance(present, dict | None):
            raise ValueError("wanted a mapping under annotations, found something else")
        metadata["annotations"] = {**(present or {}), **annotations}
    return wanted


def _flag_edits(text: str, document: yaml.MappingNode, flags: Mapping[str, str]) -> list[yamltext.Edit]:
    container = _container_node(document)
    lists = [pair[1] for key in ("command", "args") if (pair := yamltext.entry(container, key))]
    filled = [node for node in lists if isinstance(node, yaml.SequenceNode) and node.value]
    places = [(word, bool(node.flow_style)) for node in filled for word in node.value]
    changed, added = _changes([word.value for word, _ in places], flags)
    edits = [yamltext.replace(places[at][0], word, flow=places[at][1]) for at, word in changed.items()]
    return [*edits, *([yamltext.append(text, filled[-1], added)] if added else [])]


def _container_node(document: yaml.MappingNode) -> yaml.MappingNode:
    """Return where the container stands. What `pod` has read is there, but for what came by a merge key."""
    spec = yamltext.entry(document, "spec")
    listed = yamltext.entry(spec[1], "containers") if spec and isinstance(spec[1], yaml.MappingNode) else None
    for node in listed[1].value if listed and isinstance(listed[1], yaml.SequenceNode) else ():
        name = yamltext.entry(node, "name") if isinstance(node, yaml.MappingNode) else None
        if name and name[1].value == CONTAINER:
            found: yaml.MappingNode = node
            return found
    raise ValueError(f"wanted a container {CONTAINER} that can be edited, found none")


def _annotation_edits(text: str, document: yaml.MappingNode, annotations: Mapping[str, str]) -> Iterable[yamltext.Edit]:
    metadata = yamltext.entry(document, "metadata")
    if not annotations or metadata is None or not isinstance(metadata[1], yaml.MappingNode):
        return
    present = yamltext.entry(metadata[1], "annotations")
    if present is None:
        yield yamltext.insert(text, metadata, {"annotations": annotations})
        return
    missing = {}
    for key, value in annotations.items():
        pair = yamltext.entry(present[1], key) if isinstance(present[1], yaml.MappingNode) else None
        if pair is None:
            missing[key] = value
        elif pair[1].value != value or pair[1].tag != "tag:yaml.org,2002:str":
            yield yamltext.replace(pair[1], value)
    if missing:
        yield yamltext.insert(text, present, missing)
