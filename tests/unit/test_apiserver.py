"""What is read of an API server's manifest, and that an edit changes what was asked for and not a byte more."""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.apiserver import (
    TRUSTED_CA,
    ApiServer,
    Mount,
    edited,
    file_differences,
    obstacles,
    parse,
    sees,
    wanted_flags,
)
from nornir_etcd.layout import Layout
from nornir_etcd.observation import FileState, HostObservation
from nornir_etcd.signers.local import Pair

if TYPE_CHECKING:
    from collections.abc import Mapping

KUBEADM = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 192.0.2.11:6443
  creationTimestamp: null
  labels:
    component: kube-apiserver
    tier: control-plane
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=192.0.2.11
    - --allow-privileged=true
    - --authorization-mode=Node,RBAC
    - --client-ca-file=/etc/kubernetes/pki/ca.crt
    - --enable-admission-plugins=NodeRestriction
    - --enable-bootstrap-token-auth=true
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
    - --etcd-servers=https://127.0.0.1:2379
    - --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt
    - --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key
    - --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
    - --proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt
    - --proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key
    - --requestheader-allowed-names=front-proxy-client
    - --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
    - --requestheader-extra-headers-prefix=X-Remote-Extra-
    - --requestheader-group-headers=X-Remote-Group
    - --requestheader-username-headers=X-Remote-User
    - --secure-port=6443
    - --service-account-issuer=https://kubernetes.default.svc.cluster.local
    - --service-account-key-file=/etc/kubernetes/pki/sa.pub
    - --service-account-signing-key-file=/etc/kubernetes/pki/sa.key
    - --service-cluster-ip-range=10.96.0.0/12
    - --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
    image: registry.k8s.io/kube-apiserver:v1.33.1
    imagePullPolicy: IfNotPresent
    livenessProbe:
      failureThreshold: 8
      httpGet:
        host: 192.0.2.11
        path: /livez
        port: probe-port
        scheme: HTTPS
      initialDelaySeconds: 10
      periodSeconds: 10
      timeoutSeconds: 15
    name: kube-apiserver
    ports:
    - containerPort: 6443
      name: probe-port
      protocol: TCP
    readinessProbe:
      failureThreshold: 3
      httpGet:
        host: 192.0.2.11
        path: /readyz
        port: probe-port
        scheme: HTTPS
      periodSeconds: 1
      timeoutSeconds: 15
    resources:
      requests:
        cpu: 250m
    startupProbe:
      failureThreshold: 24
      httpGet:
        host: 192.0.2.11
        path: /livez
        port: probe-port
        scheme: HTTPS
      initialDelaySeconds: 10
      periodSeconds: 10
      timeoutSeconds: 15
    volumeMounts:
    - mountPath: /etc/ssl/certs
      name: ca-certs
      readOnly: true
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
      readOnly: true
  hostNetwork: true
  priority: 2000001000
  priorityClassName: system-node-critical
  securityContext:
    seccompProfile:
      type: RuntimeDefault
  volumes:
  - hostPath:
      path: /etc/ssl/certs
      type: DirectoryOrCreate
    name: ca-certs
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
status: {}
"""
"""As kubeadm 1.33 writes it."""

ARGS = """\
# written by hand
apiVersion: "v1"
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}   # no annotations yet
spec:
    hostNetwork: true
    containers:
        - name: sidecar
          command: ['kube-apiserver', '--etcd-cafile=/not/this/one']
        - name: kube-apiserver
          image: 'rancher/hardened-kubernetes:v1.30.2'
          command: [ kube-apiserver ]
          args:
            - '--etcd_cafile=/old/ca.crt'   # the CA
            - "--etcd-keyfile"
            - "/old/client.key"   # two words

            - --etcd-servers=https://192.0.2.11:2379
            - --etcd-servers=https://192.0.2.12:2379,https://192.0.2.13:2379
            - --secure-port
            - "6444"
            - --bind-address=192.0.2.11
            - --v=2      # the last one
          volumeMounts:
            - { name: tls, mountPath: /srv/tls/ , subPath: etcd }
            - { name: scratch, mountPath: /srv/tls/scratch }
          securityContext: { runAsUser: 998 }
    volumes:
        - name: tls
          hostPath: { path: /srv/tls }
        - name: scratch
          emptyDir: {}
"""
"""Two words, underscores, a list that goes on, comments everywhere; kubelets take all of it."""

JSON = json.dumps(yaml.safe_load(KUBEADM), indent=2) + "\n"

FLAGS = {
    "etcd-cafile": "/etc/kubernetes/pki/etcd/ca.pem",
    "etcd-certfile": "/etc/kubernetes/pki/apiserver-etcd-client.pem",
    "etcd-keyfile": "/etc/kubernetes/pki/apiserver-etcd-client-key.pem",
}
TRUST = {TRUSTED_CA: "5e:ed"}
PATHS = Layout("/etc/kubernetes/pki", "/etc/kubernetes", "/var/lib/etcd")


def changes(before: str, after: str) -> list[str]:
    """Return the lines that were taken away and added, with their signs."""
    diff = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line.rstrip("\r\n") for line in diff if line[0] in "+-"]


def test_kubeadms_manifest_is_read() -> None:
    assert parse(KUBEADM) == ApiServer(
        etcd_cafile="/etc/kubernetes/pki/etcd/ca.crt",
        etcd_certfile="/etc/kubernetes/pki/apiserver-etcd-client.crt",
        etcd_keyfile="/etc/kubernetes/pki/apiserver-etcd-client.key",
        etcd_servers=("https://127.0.0.1:2379",),
        trusted_ca="",
        mounts=(Mount("/etc/ssl/certs", "/etc/ssl/certs"), Mount("/etc/kubernetes/pki", "/etc/kubernetes/pki")),
    )
    assert parse(JSON) == parse(KUBEADM)


def test_a_manifest_of_args_in_two_words_is_read() -> None:
    assert parse(ARGS) == ApiServer(
        etcd_cafile="/old/ca.crt",
        etcd_certfile="",
        etcd_keyfile="/old/client.key",
        etcd_servers=("https://192.0.2.11:2379", "https://192.0.2.12:2379", "https://192.0.2.13:2379"),
        trusted_ca="",
        mounts=(Mount("/srv/tls", "/srv/tls/etcd"), Mount("/srv/tls/scratch", "")),
        user=998,
        address="192.0.2.11",
        port=6444,
    )


@pytest.mark.parametrize(
    ("old", "new", "address"),
    [
        ("--secure-port=6443", "--secure-port=0", ""),
        ("hostNetwork: true", "hostNetwork: false", ""),
        ("--secure-port=6443", "'--bind-address=::'", "127.0.0.1"),
        ("--secure-port=6443", "--bind-address=192.0.2.11", "192.0.2.11"),
    ],
)
def test_it_is_asked_where_it_serves(old: str, new: str, address: str) -> None:
    assert parse(KUBEADM.replace(old, new)).address == address


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "wanted the manifest of a Pod, found something else"),
        ("kind: Pod\nspec: {containers: [{name: etcd}]}", "wanted a container named kube-apiserver, found none"),
        (KUBEADM.replace("    - --", "    - \t:- *&"), "wanted YAML, found"),
        (KUBEADM.replace("- kube-apiserver\n", "- /bin/sh\n    - -c\n    - kube-apiserver --v=2\n"), "'/bin/sh -c'"),
        (KUBEADM.replace("- kube-apiserver\n", "- /bin/sh\n    - -ec\n    - kube-apiserver\n"), "'/bin/sh -ec'"),
        (KUBEADM.replace("--secure-port=6443", "--"), "found the word -- among them"),
        (KUBEADM.replace("--secure-port=6443", "6443"), "wanted a list of strings under command"),
        (ARGS.replace("--v=2", "--etcd-certfile"), "wanted a value after --etcd-certfile, found none"),
        ("kind: Pod\nspec: {containers: [{name: kube-apiserver}]}", "wanted a command that starts kube-apiserver"),
        ("a: !!bool x", "wanted YAML, found"),
        ("[" * 5000, "wanted YAML, found"),
    ],
    ids=range(11),
)
def test_what_is_no_api_server_is_one_line(text: str, line: str) -> None:
    for call in (parse, lambda it: edited(it, flags=FLAGS, annotations=TRUST)):
        with pytest.raises(ValueError, match=r".") as caught:
            call(text)
        assert line in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "start",
    [
        "/usr/local/bin/kube-apiserver",
        "/go-runner\n    - --log-file=/var/log/kube-apiserver.log\n    - /usr/local/bin/kube-apiserver",
        "/hyperkube\n    - apiserver",
        "--anonymous-auth=true",
    ],
)
def test_an_api_server_may_be_started_in_several_ways(start: str) -> None:
    text = KUBEADM.replace("    - kube-apiserver\n", f"    - {start}\n")
    assert parse(text) == parse(KUBEADM)
    assert parse(edited(text, flags=FLAGS, annotations={})).etcd_cafile == FLAGS["etcd-cafile"]


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


def test_a_dollar_is_doubled_for_the_kubelet_and_read_back() -> None:
    after = edited(KUBEADM, flags={"etcd-cafile": "/a$b"}, annotations={})
    assert "--etcd-cafile=/a$$b" in after
    assert parse(after).etcd_cafile == "/a$b"


@pytest.mark.parametrize(
    ("mounts", "path", "seen"),
    [
        ((("/etc/kubernetes/pki", "/etc/kubernetes/pki"),), "/etc/kubernetes/pki/etcd/ca.pem", True),
        ((("/etc/kubernetes/pki", "/etc/kubernetes/pki"),), "/etc/kubernetes/pki", True),
        ((("/etc/kubernetes/pki", "/etc/kubernetes/pki"),), "/etc/kubernetes/pki2/ca.pem", False),
        ((("/etc/kubernetes/pki", "/srv/pki"),), "/etc/kubernetes/pki/ca.pem", False),
        ((("/etc", "/etc"), ("/etc/kubernetes", "")), "/etc/kubernetes/pki/ca.pem", False),
        ((("/etc", ""), ("/etc/kubernetes", "/etc/kubernetes")), "/etc/kubernetes/pki/ca.pem", True),
        ((("/", "/"),), "/etc/kubernetes/pki/ca.pem", True),
        ((), "/etc/kubernetes/pki/ca.pem", False),
    ],
)
def test_a_path_is_seen_through_its_nearest_mount(mounts: tuple[tuple[str, str], ...], path: str, seen: bool) -> None:
    server = ApiServer("", "", "", (), "", tuple(Mount(*mount) for mount in mounts))
    assert sees(server, path) is seen


def test_what_would_keep_it_from_starting_is_told_at_once() -> None:
    files = {path: FileState("file") for path in wanted_flags(PATHS).values()}
    assert obstacles(parse(KUBEADM), PATHS, HostObservation("m1", files=files)) == []
    files[PATHS.apiserver_key] = FileState("absent")
    assert obstacles(parse(ARGS), PATHS, HostObservation("m1", files=files)) == [
        f"{PATHS.trusted_ca} is not mounted into its container",
        f"{PATHS.apiserver_certificate} is not mounted into its container",
        f"{PATHS.apiserver_key} is not mounted into its container",
        f"{PATHS.apiserver_key} is absent",
        f"it runs as user 998, who cannot read {PATHS.apiserver_key}",
    ]


def test_files_differ_in_content_and_in_mode() -> None:
    pair = Pair(b"certificate", b"key")

    def state(content: bytes, mode: int) -> FileState:
        return FileState("file", mode=mode, sha256=hashlib.sha256(content).hexdigest())

    def differences(certificate: FileState, key: FileState) -> Mapping[str, str]:
        files = {PATHS.apiserver_certificate: certificate, PATHS.apiserver_key: key}
        return file_differences(PATHS, pair, HostObservation("m1", files=files))

    assert differences(state(b"certificate", 0o644), state(b"key", 0o600)) == {}
    assert differences(state(b"old", 0o644), state(b"key", 0o640)) == {
        PATHS.apiserver_certificate: "differs",
        PATHS.apiserver_key: "has mode 0640, wanted 0600",
    }
    assert set(differences(FileState("absent"), FileState("absent")).values()) == {"is absent"}


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


@given(st.text(max_size=200) | st.text("{}[]:-,&*!|>'\"#% \nabkindPodspec", max_size=60))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    for call in (parse, lambda it: edited(it, flags=FLAGS, annotations=TRUST)):
        with pytest.raises(ValueError, match=r"^wanted"):
            call(text)
