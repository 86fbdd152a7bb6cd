"""An edit of an API server's manifest changes what was asked for, and not a byte more."""

from __future__ import annotations

import copy
import difflib
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.apiserver import parse
from nornir_etcd.apiserver_edit import edited
from nornir_etcd.manifest import TRUSTED_CA
from nornir_etcd.plan.clients import pointed_at
from tests.unit.test_apiserver import ARGS, FLAGS, JSON, KUBEADM, TRUST

if TYPE_CHECKING:
    from collections.abc import Mapping


def changes(before: str, after: str) -> list[str]:
    """Return the lines that were taken away and added, with their signs."""
    diff = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line.rstrip("\r\n") for line in diff if line[0] in "+-"]


def test_an_edit_of_kubeadms_manifest_changes_its_lines_and_no_others() -> None:
    after = edited(KUBEADM, flags=FLAGS, annotations=TRUST)
    assert changes(KUBEADM, after) == [
        '+     nornir-etcd/trusted-ca: "5e:ed"',
        *(
            f"{sign}     - --{name}={value}"
            for name, old in (
                ("etcd-cafile", "/etc/kubernetes/pki/etcd/ca.crt"),
                ("etcd-certfile", "/etc/kubernetes/pki/apiserver-etcd-client.crt"),
                ("etcd-keyfile", "/etc/kubernetes/pki/apiserver-etcd-client.key"),
            )
            for sign, value in (("-", old), ("+", FLAGS[name]))
        ),
    ]
    again = edited(after, flags=FLAGS, annotations={TRUSTED_CA: "other"})
    assert changes(after, again) == ['-     nornir-etcd/trusted-ca: "5e:ed"', '+     nornir-etcd/trusted-ca: "other"']


def test_an_edit_keeps_quotes_comments_and_words_as_they_are() -> None:
    after = edited(ARGS, flags=FLAGS, annotations=TRUST)
    assert [line for line in changes(ARGS, after) if not line.startswith("?")] == [
        "- metadata: {name: kube-apiserver, namespace: kube-system}   # no annotations yet",
        (
            '+ metadata: {"annotations": {"nornir-etcd/trusted-ca": "5e:ed"}, name: kube-apiserver, '
            "namespace: kube-system}   # no annotations yet"
        ),
        "-             - '--etcd_cafile=/old/ca.crt'   # the CA",
        "+             - '--etcd_cafile=/etc/kubernetes/pki/etcd/ca.pem'   # the CA",
        '-             - "/old/client.key"   # two words',
        '+             - "/etc/kubernetes/pki/apiserver-etcd-client-key.pem"   # two words',
        "+             - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.pem",
    ]


def test_an_edit_of_json_is_json() -> None:
    after = edited(JSON, flags={**FLAGS, "etcd-prefix": "/x"}, annotations=TRUST)
    document = json.loads(after)
    assert document["metadata"]["annotations"][TRUSTED_CA] == "5e:ed"
    assert document["spec"]["containers"][0]["command"][-1] == "--etcd-prefix=/x"


@pytest.mark.parametrize("text", [KUBEADM, ARGS, JSON, KUBEADM.replace("\n", "\r\n"), f"\ufeff{KUBEADM}"], ids=range(5))
def test_a_second_edit_changes_nothing(text: str) -> None:
    once = edited(text, flags=FLAGS, annotations=TRUST)
    assert once != text
    assert edited(once, flags=FLAGS, annotations=TRUST) == once
    assert edited(text, flags={}, annotations={}) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ARGS, "wanted --etcd-servers once, found it 2 times"),
        (KUBEADM.replace("- --etcd-servers=", "- >-\n      --etcd-servers="), "wanted a string on one line"),
        (KUBEADM.replace("metadata:", "x: &a [b]\ny: *a\nmetadata:"), "wanted no alias"),
        (KUBEADM.replace("spec:\n", "spec:\n  <<: {containers: []}\n").replace("metadata:", "m:"), "wanted metadata"),
    ],
    ids=range(4),
)
def test_a_shape_that_cannot_be_edited_is_one_line(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        edited(text, flags={"etcd-servers": "https://127.0.0.1:2379,https://[::1]:2379"}, annotations=TRUST)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
values = st.from_regex(r"/[a-z0-9/._-]{0,12}", fullmatch=True) | st.text(min_size=1, max_size=12)
annotations_ = st.dictionaries(st.sampled_from(["a/b", "x.io/y", "true", TRUSTED_CA]), st.text(max_size=8), max_size=3)
NAMES = ("etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-servers")


@st.composite
def manifests(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Draw a manifest and a text of it, in a style of its own."""
    names = draw(st.lists(st.sampled_from([*NAMES, "v", "feature-gates", "secure-port"]), unique=True))
    words: list[str] = []
    for name in names:
        value = draw(values)
        words += [f"--{name}={value}"] if draw(st.booleans()) else [f"--{name}", value]
    split = draw(st.sampled_from([0, len(words)]))
    container = {
        "name": "kube-apiserver",
        "image": draw(st.text(max_size=8)),
        "command": ["kube-apiserver", *words[:split]],
        "args": words[split:],
        "extra": draw(st.dictionaries(st.text(max_size=5), st.lists(scalars, max_size=3), max_size=3)),
    }
    others = draw(
        st.lists(st.sampled_from([{"name": "etcd", "command": ["kube-apiserver", "--etcd-cafile=/x"]}]), max_size=1)
    )
    metadata: dict[str, Any] = {"name": "kube-apiserver", "creationTimestamp": None}
    if draw(st.booleans()):
        metadata["annotations"] = draw(st.none() | annotations_)
    spec = {"containers": draw(st.permutations([container, *others])), "hostNetwork": True}
    document = {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}
    if draw(st.booleans()):
        return document, json.dumps(document, indent=draw(st.sampled_from([None, 0, 2])))
    text = yaml.safe_dump(
        document,
        indent=draw(st.sampled_from([2, 4])),
        width=draw(st.sampled_from([40, 10000])),
        default_flow_style=draw(st.sampled_from([None, False, True])),
        default_style=draw(st.sampled_from([None, '"', "'"])),
        allow_unicode=draw(st.booleans()),
        sort_keys=draw(st.booleans()),
        explicit_start=draw(st.booleans()),
    )
    return document, text.replace("\n", "\r\n") if draw(st.booleans()) else text


def expected(document: dict[str, Any], flags: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return what an edit must come to, told in another way than the program's: by words without their values."""
    after = copy.deepcopy(document)
    container = next(one for one in after["spec"]["containers"] if one["name"] == "kube-apiserver")
    for part in (container["command"], container["args"]):
        for at, word in enumerate(part):
            for name, value in flags.items():
                escaped = value.replace("$", "$$")
                if word.startswith(f"--{name}=") and word[len(name) + 3 :].replace("$$", "$") != value:
                    part[at] = f"--{name}={escaped}"
                elif at and part[at - 1] == f"--{name}" and word.replace("$$", "$") != value:
                    part[at] = escaped
    present = {word.partition("=")[0] for word in [*container["command"], *container["args"]]}
    missing = [f"--{name}={value.replace('$', '$$')}" for name, value in flags.items() if f"--{name}" not in present]
    (container["args"] or container["command"]).extend(missing)
    if annotations:
        after["metadata"]["annotations"] = {**(after["metadata"].get("annotations") or {}), **annotations}
    return after


@settings(deadline=None)
@given(manifests(), st.dictionaries(st.sampled_from(NAMES), values, max_size=4), annotations_)
def test_an_edit_comes_to_what_was_asked_for_or_to_nothing(
    manifest: tuple[dict[str, Any], str], flags: dict[str, str], annotations: dict[str, str]
) -> None:
    document, text = manifest
    if yaml.safe_load(text) != document:  # such as a carriage return within a string over several lines
        return
    try:
        after, refused = edited(text, flags=flags, annotations=annotations), ""
    except ValueError as error:
        after, refused = text, str(error)
    assert len(refused.splitlines()) <= 1
    if refused:
        return
    assert yaml.safe_load(after) == expected(document, flags, annotations)
    assert edited(after, flags=flags, annotations=annotations) == after
    taken = [line for line in changes(text, after) if line.startswith("-")]
    assert len(taken) <= len(flags) + len(annotations) + 2, "a line each, and where `{}` and `[]` are added to"


@settings(deadline=None)
@given(manifests(), st.dictionaries(st.sampled_from(NAMES), st.from_regex(r"/[a-z./-]{1,12}", fullmatch=True)))
def test_manifests_as_tools_write_them_can_be_edited(
    manifest: tuple[dict[str, Any], str], flags: dict[str, str]
) -> None:
    document = manifest[0]
    for text in (yaml.safe_dump(document, width=10000), json.dumps(document), json.dumps(document, indent=2)):
        if yaml.safe_load(text) != document or any("\n" in str(word) for word in _words(document)):
            return
        after = edited(text, flags=flags, annotations={TRUSTED_CA: "5eed"})
        assert yaml.safe_load(after) == expected(document, flags, {TRUSTED_CA: "5eed"})


def _words(document: dict[str, Any]) -> list[str]:
    return [
        word for one in document["spec"]["containers"] for part in ("command", "args") for word in one.get(part, [])
    ]


addresses = st.ip_addresses().map(lambda it: f"[{it}]" if it.version == 6 else str(it))
endpoints = st.builds("https://{}:{}".format, addresses, st.integers(1, 65535))


@settings(deadline=None)
@given(manifests(), st.lists(endpoints, min_size=1, max_size=5))
def test_other_endpoints_change_the_words_of_their_flag_and_nothing_else(
    manifest: tuple[dict[str, Any], str], servers: list[str]
) -> None:
    document, text = manifest
    if yaml.safe_load(text) != document or not any(word.startswith("--etcd-servers") for word in _words(document)):
        return
    try:
        after = pointed_at(text, servers)
    except ValueError:  # a shape that cannot be edited; those of tools can, see above
        return
    assert parse(after).etcd_servers == tuple(servers)
    assert yaml.safe_load(after) == expected(document, {"etcd-servers": ",".join(servers)}, {})
    assert pointed_at(after, servers) == after
    same = _shared(text, after)
    assert "\n" not in text[same[0] : len(text) - same[1]], "one line alone, its end as it was"


def _shared(before: str, after: str) -> tuple[int, int]:
    """Return how many characters two texts share at their beginning, and at their end behind that."""
    most = min(len(before), len(after))
    start = next((at for at in range(most) if before[at] != after[at]), most)
    end = next((at for at in range(most - start) if before[-1 - at] != after[-1 - at]), most - start)
    return start, end


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("--etcd-servers=https://a:2379", "--etcd-servers=https://b:2379,https://192.0.2.7:2379"),
        ("'--etcd-servers=https://a:2379'   # ours", "'--etcd-servers=https://b:2379,https://192.0.2.7:2379'   # ours"),
        ('"--etcd-servers=https://a:2379"', '"--etcd-servers=https://b:2379,https://192.0.2.7:2379"'),
        (
            "--etcd_servers\n    - https://a:2379 # x",
            '--etcd_servers\n    - "https://b:2379,https://192.0.2.7:2379" # x',
        ),
    ],
)
def test_endpoints_are_written_as_the_former_ones_were(word: str, becomes: str) -> None:
    before, after = (KUBEADM.replace("--etcd-servers=https://127.0.0.1:2379", one) for one in (word, becomes))
    assert pointed_at(before, ["https://b:2379", "https://192.0.2.7:2379"]) == after
    assert parse(after).etcd_servers == ("https://b:2379", "https://192.0.2.7:2379")


def test_an_ipv6_address_brings_its_quotes() -> None:
    after = pointed_at(KUBEADM, ["https://[2001:db8::1]:2379"])
    assert changes(KUBEADM, after)[-1] == '+     - "--etcd-servers=https://[2001:db8::1]:2379"'
