"""Where etcd's files lie on a host. Pure: no I/O.

etcd's own files stand in `{ca_dir}/etcd` behind a `..data` link that one rename switches, so certificate, key and CA
change together and a running container sees it (a bind mount of a single file would keep the old inode). The role's
paths are links into it.

Another tool's files (etcd_preset) lie where that tool put them: they are read, and never written.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nornir_etcd.settings import Settings

CERTIFICATE = "etcd.pem"
KEY = "etcd-key.pem"
CA = "ca.pem"

CERTIFICATE_MODE = 0o644
KEY_MODE = 0o600
DIRECTORY_MODE = 0o700
MANIFEST_MODE = 0o600

REMOVED, PURGED = ".removed-", ".purged-"
"""What stands between a name and a time (20260102T030405Z) where the data of a member that has left is kept, and where
it is about to be deleted."""


@dataclass(frozen=True)
class Foreign:
    """Where another tool keeps its files."""

    etcd: str
    certificate: str
    key: str
    peer_certificate: str
    peer_key: str
    trusted_ca: str
    peer_trusted_ca: str
    ca: str
    manifest: str


@dataclass(frozen=True)
class ApiServerFiles:
    """Where the files of an API server on the host lie, whoever runs it."""

    certificate: str
    key: str
    manifest: str


@dataclass(frozen=True)
class Layout:
    """The paths of one host."""

    ca_dir: str
    kube_base_dir: str
    data: str
    foreign: Foreign | None = None
    apiserver: ApiServerFiles | None = None  # None: where cfssl's names have them

    @property
    def ca(self) -> str:
        """The CA of the Kubernetes cluster, the role's path."""
        return self.foreign.ca if self.foreign else f"{self.ca_dir}/{CA}"

    @property
    def etcd(self) -> str:
        """The folder of etcd's own files: the only one that the container sees."""
        return self.foreign.etcd if self.foreign else f"{self.ca_dir}/etcd"

    @property
    def certificate(self) -> str:
        """The certificate that the client port serves."""
        return self.foreign.certificate if self.foreign else f"{self.etcd}/{CERTIFICATE}"

    @property
    def peer_certificate(self) -> str:
        """The certificate that the peer port serves: ours serves both."""
        return self.foreign.peer_certificate if self.foreign else self.certificate

    @property
    def keys(self) -> tuple[str, ...]:
        """The private keys that etcd uses."""
        keys = (self.foreign.key, self.foreign.peer_key) if self.foreign else (f"{self.etcd}/{KEY}",)
        return tuple(dict.fromkeys(keys))

    @property
    def trusted_ca(self) -> str:
        """The CA that etcd trusts its clients by."""
        return self.foreign.trusted_ca if self.foreign else f"{self.etcd}/{CA}"

    @property
    def peer_trusted_ca(self) -> str:
        """The CA that etcd trusts its peers by."""
        return self.foreign.peer_trusted_ca if self.foreign else self.trusted_ca

    @property
    def links(self) -> dict[str, str]:
        """The role's paths of certificate and key, each with the target that its link must have."""
        if self.foreign:
            return {}
        return {f"{self.ca_dir}/{name}": f"etcd/{name}" for name in (CERTIFICATE, KEY)}

    @property
    def modes(self) -> dict[str, int]:
        """Etcd's own files and folder, each with the mode that it must have. Of another tool's the keys alone."""
        if self.foreign:
            return dict.fromkeys(self.keys, KEY_MODE)
        return {
            self.etcd: DIRECTORY_MODE,
            f"{self.etcd}/{CERTIFICATE}": CERTIFICATE_MODE,
            f"{self.etcd}/{KEY}": KEY_MODE,
            f"{self.etcd}/{CA}": CERTIFICATE_MODE,
        }

    @property
    def manifests(self) -> str:
        """The folder that the kubelet watches. Every file in it is a Pod, whatever its name (k8s#129364)."""
        return posixpath.dirname(self.manifest)

    @property
    def manifest(self) -> str:
        """The static Pod."""
        return self.foreign.manifest if self.foreign else f"{self.kube_base_dir}/manifests/etcd.yaml"

    @property
    def apiserver_certificate(self) -> str:
        """The certificate that an API server shows etcd."""
        return self.apiserver.certificate if self.apiserver else f"{self.ca_dir}/apiserver-etcd-client.pem"

    @property
    def apiserver_key(self) -> str:
        """Its private key."""
        return self.apiserver.key if self.apiserver else f"{self.ca_dir}/apiserver-etcd-client-key.pem"

    @property
    def apiserver_manifest(self) -> str:
        """The static Pod of the API server."""
        return self.apiserver.manifest if self.apiserver else f"{self.kube_base_dir}/manifests/kube-apiserver.yaml"

    @property
    def staging(self) -> str:
        """A folder on the manifest's file system, outside the one that the kubelet watches."""
        return self.kube_base_dir

    @property
    def former(self) -> str:
        """Where an upgrade keeps the manifest that it replaces: outside the folder that the kubelet watches."""
        return f"{self.staging}/etcd.yaml.former"

    @property
    def roles_manifest(self) -> str:
        """Where the Ansible role's manifest is kept when ours takes its place."""
        return f"{self.staging}/etcd.yaml.role"

    @property
    def guard(self) -> str:
        """The folder that the Pod insists on, so that a member which lost its data does not start empty."""
        return f"{self.data}/member"

    @property
    def volumes(self) -> tuple[str, ...]:
        """The folders that are written to: each may lie on a file system of its own."""
        return (self.data, self.ca_dir, self.kube_base_dir, self.manifests)

    @property
    def observed(self) -> tuple[str, ...]:
        """Every path whose state an observation reads."""
        apiserver = (self.apiserver_manifest, self.apiserver_certificate, self.apiserver_key)
        rest = (self.manifests, self.manifest, self.data, *apiserver)
        if self.foreign:
            return tuple(dict.fromkeys((self.ca, self.etcd, *self._certificates, *self.keys, *rest)))
        return (self.ca, *self.links, *self.modes, f"{self.etcd}/..data", *rest, self.former)

    @property
    def texts(self) -> tuple[str, ...]:
        """The files whose content an observation reads. None of them holds a secret."""
        ours = () if self.foreign else (self.former, f"{self.ca_dir}/{CERTIFICATE}")
        return tuple(dict.fromkeys((*self.certificates, self.manifest, self.apiserver_manifest, *ours)))

    @property
    def certificates(self) -> tuple[str, ...]:
        """The files whose content is certificates."""
        return tuple(dict.fromkeys((self.ca, *self._certificates, self.apiserver_certificate)))

    @property
    def _certificates(self) -> tuple[str, ...]:
        return (self.certificate, self.peer_certificate, self.trusted_ca, self.peer_trusted_ca)


def layout(settings: Settings) -> Layout:
    """Return the paths that these settings mean."""
    foreign = None
    if settings.etcd_preset != "cfssl":
        foreign = Foreign(
            etcd=settings.etcd_pki_dir,
            certificate=settings.etcd_server_certificate,
            key=settings.etcd_server_key,
            peer_certificate=settings.etcd_peer_certificate,
            peer_key=settings.etcd_peer_key,
            trusted_ca=settings.etcd_trusted_ca,
            peer_trusted_ca=settings.etcd_peer_trusted_ca,
            ca=settings.etcd_general_ca,
            manifest=settings.etcd_manifest_path,
        )
    apiserver = ApiServerFiles(
        certificate=settings.etcd_apiserver_certificate,
        key=settings.etcd_apiserver_key,
        manifest=settings.etcd_apiserver_manifest,
    )
    return Layout(settings.ca_dir, settings.kube_base_dir, settings.etcd_data_dir, foreign, apiserver)
