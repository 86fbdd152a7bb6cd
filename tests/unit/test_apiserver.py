"""What is read of an API server's manifest, and what it needs of its host."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.apiserver import (
    TRUSTED_CA,
    ApiServer,
    Mount,
    file_differences,
    obstacles,
    parse,
    sees,
    wanted_flags,
)
from nornir_etcd.apiserver_edit import edited
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


def test_servers_of_single_resources_are_read() -> None:
    flag = (
        "--etcd-servers-overrides=/events#https://192.0.2.21:2379;https://192.0.2.22:2379,apps/deployments#http://x:1"
    )
    assert parse(KUBEADM.replace("--secure-port=6443", flag)).etcd_servers_overrides == (
        ("/events", ("https://192.0.2.21:2379", "https://192.0.2.22:2379")),
        ("apps/deployments", ("http://x:1",)),
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


@given(st.text(max_size=200) | st.text("{}[]:-,&*!|>'\"#% \nabkindPodspec", max_size=60))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    for call in (parse, lambda it: edited(it, flags=FLAGS, annotations=TRUST)):
        with pytest.raises(ValueError, match=r"^wanted"):
            call(text)
