"""What must hold between the variables of one host."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd import versions
from nornir_etcd.settings.images import image_tag
from nornir_etcd.settings.model import ADVISED_QUOTA

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir_etcd.settings.model import Settings


@dataclass(frozen=True)
class Rule:
    """A check of some variables against each other: the problem as text, empty where there is none."""

    variables: tuple[str, ...]
    check: Callable[[Settings], str]


def _image_has_the_version(settings: Settings) -> str:
    tag = image_tag(settings.etcd_image)
    if tag == settings.etcd_version:
        return ""
    return (
        f"wanted the tag {settings.etcd_version} (etcd_version, which decides the flags), "
        f"found {settings.etcd_image!r}; set etcd_version to {tag}, or leave etcd_image out"
    )


def _election_is_five_heartbeats(settings: Settings) -> str:
    # etcd refuses less: Config.Validate, https://github.com/etcd-io/etcd/blob/v3.5.16/server/embed/config.go
    least = 5 * settings.etcd_heartbeat_interval
    if settings.etcd_election_timeout >= least:
        return ""
    return f"wanted at least {least} ms (5 times etcd_heartbeat_interval), found {settings.etcd_election_timeout}"


def _release_knows_tls_version(settings: Settings) -> str:
    release = versions.parse(settings.etcd_version)
    if settings.etcd_tls_min_version == "TLS1.2" or versions.knows(release, versions.TLS_MIN_VERSION):
        return ""
    return f"wanted TLS1.2, found '{settings.etcd_tls_min_version}'; etcd {release} has no --tls-min-version"


def _renewed_before_it_ends(settings: Settings) -> str:
    if settings.etcd_renew_days < settings.etcd_cert_days:
        return ""
    return f"wanted less than etcd_cert_days ({settings.etcd_cert_days}), found {settings.etcd_renew_days}"


def _outlived_by_its_ca(settings: Settings) -> str:
    if settings.etcd_cert_days <= settings.etcd_ca_days:
        return ""
    return f"wanted at most etcd_ca_days ({settings.etcd_ca_days}), found {settings.etcd_cert_days}"


def _one_passphrase(settings: Settings) -> str:
    if settings.etcd_ca_passphrase_env is None or settings.etcd_ca_passphrase_file is None:
        return ""
    return f"wanted it or etcd_ca_passphrase_file, found both ({settings.etcd_ca_passphrase_file!r}); leave one out"


def _inside(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _data_is_apart(settings: Settings) -> str:
    data = settings.etcd_data_dir
    for other in (f"{settings.kube_base_dir}/manifests", f"{settings.ca_dir}/etcd"):
        if _inside(data, other) or _inside(other, data):
            return f"wanted a folder apart from {other}, found {data!r}"
    return (
        f"wanted a folder apart from ca_dir {settings.ca_dir}, found {data!r}" if _inside(settings.ca_dir, data) else ""
    )


def _certificates_are_no_pods(settings: Settings) -> str:
    # The kubelet takes every file there for a Pod, whatever its name (k8s#129364).
    manifests = f"{settings.kube_base_dir}/manifests"
    return (
        f"wanted a folder outside {manifests}, found {settings.ca_dir!r}" if _inside(settings.ca_dir, manifests) else ""
    )


_PLACES = {
    "etcd_pki_dir": "{pki}",
    "etcd_server_certificate": "{pki}/etcd.pem",
    "etcd_server_key": "{pki}/etcd-key.pem",
    "etcd_peer_certificate": "{pki}/etcd.pem",
    "etcd_peer_key": "{pki}/etcd-key.pem",
    "etcd_trusted_ca": "{pki}/ca.pem",
    "etcd_peer_trusted_ca": "{pki}/ca.pem",
    "etcd_general_ca": "{settings.ca_dir}/ca.pem",
    "etcd_manifest_path": "{settings.kube_base_dir}/manifests/etcd.yaml",
}
"""Where the files lie that deploy writes."""


_NOT_THE_API_SERVERS = (
    *("etcd.pem", "etcd-key.pem"),
    *(f"{name}{ending}" for name in ("ca", "front-proxy-ca") for ending in (".pem", "-key.pem", ".crt", ".key")),
    *("apiserver.pem", "apiserver-key.pem", "apiserver.crt", "apiserver.key", "sa.key", "sa.pub"),
)
"""Names in ca_dir that are not the client certificate: etcd's links, the CAs, what the API server serves and signs
with (https://kubernetes.io/docs/setup/best-practices/certificates/, "Certificate paths")."""


def _lies_where_deploy_writes(name: str) -> Rule:
    def check(settings: Settings) -> str:
        wanted = _PLACES[name].format(settings=settings, pki=f"{settings.ca_dir}/etcd")
        found = getattr(settings, name)
        if settings.etcd_preset != "cfssl" or found == wanted:
            return ""
        return (
            f"wanted {wanted}, where deploy writes it, found {found!r}; "
            "leave it out, or set etcd_preset to kubeadm for files of another tool"
        )

    return Rule((name, "etcd_preset", "ca_dir", "kube_base_dir"), check)


def _is_no_key(name: str) -> Rule:
    """Its content is read, and no private key leaves its host."""

    def check(settings: Settings) -> str:
        path = getattr(settings, name)
        keys = (settings.etcd_server_key, settings.etcd_peer_key, settings.etcd_apiserver_key)
        if path not in keys and not path.endswith((".key", "-key.pem")):
            return ""
        return f"wanted a file that holds no private key, since it is read, found {path!r}"

    return Rule((name, "etcd_server_key", "etcd_peer_key", "etcd_apiserver_key"), check)


def _is_the_api_servers_alone(name: str) -> Rule:
    """It is written where an API server runs, and more than etcd may hang on what else lies there."""

    def check(settings: Settings) -> str:
        path = getattr(settings, name)
        if settings.etcd_preset != "cfssl":
            return ""
        for folder in (f"{settings.kube_base_dir}/manifests", f"{settings.ca_dir}/etcd"):
            if _inside(path, folder) and not _inside(settings.ca_dir, folder):  # else that is what is wrong
                return f"wanted a file outside {folder}, found {path!r}"
        taken = {f"{settings.ca_dir}/{file}" for file in _NOT_THE_API_SERVERS}
        return f"wanted a file of its own, found {path!r}, which is another's" if path in taken else ""

    return Rule((name, "etcd_preset", "ca_dir", "kube_base_dir"), check)


def _api_servers_manifest_is_a_pods(settings: Settings) -> str:
    path, folder = settings.etcd_apiserver_manifest, f"{settings.kube_base_dir}/manifests"
    if settings.etcd_preset != "cfssl":
        return ""
    if posixpath.dirname(path) != folder:
        return f"wanted a file in {folder}, the folder of static Pods, found {path!r}"
    return f"wanted another file than etcd's, found {path!r}" if path == settings.etcd_manifest_path else ""


RULES = (
    Rule(("etcd_image", "etcd_version"), _image_has_the_version),
    Rule(("etcd_election_timeout", "etcd_heartbeat_interval"), _election_is_five_heartbeats),
    Rule(("etcd_tls_min_version", "etcd_version"), _release_knows_tls_version),
    Rule(("etcd_renew_days", "etcd_cert_days"), _renewed_before_it_ends),
    Rule(("etcd_cert_days", "etcd_ca_days"), _outlived_by_its_ca),
    Rule(("etcd_ca_passphrase_env", "etcd_ca_passphrase_file"), _one_passphrase),
    Rule(("etcd_data_dir", "kube_base_dir", "ca_dir"), _data_is_apart),
    Rule(("ca_dir", "kube_base_dir"), _certificates_are_no_pods),
    *(_lies_where_deploy_writes(name) for name in _PLACES),
    *(_is_no_key(name) for name in _PLACES if name not in {"etcd_pki_dir", "etcd_server_key", "etcd_peer_key"}),
    *(_is_no_key(name) for name in ("etcd_apiserver_certificate", "etcd_apiserver_manifest")),
    *(_is_the_api_servers_alone(name) for name in ("etcd_apiserver_certificate", "etcd_apiserver_key")),
    Rule(
        ("etcd_apiserver_manifest", "etcd_manifest_path", "etcd_preset", "kube_base_dir"),
        _api_servers_manifest_is_a_pods,
    ),
)


def _quota_is_advised(settings: Settings) -> str:
    quota = settings.etcd_quota_backend_bytes
    return f"at most {ADVISED_QUOTA} bytes (8 GiB) are advised, found {quota}" if quota > ADVISED_QUOTA else ""


ADVICE = (Rule(("etcd_quota_backend_bytes",), _quota_is_advised),)
