"""Where etcd's files lie on a host. Pure: no I/O.

etcd's own files stand in `{ca_dir}/etcd` behind a `..data` link that one rename switches, so certificate, key and CA
change together and a running container sees it (a bind mount of a single file would keep the old inode). The role's
paths are links into it.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Layout:
    """The paths of one host."""

    ca_dir: str
    kube_base_dir: str
    data: str

    @property
    def ca(self) -> str:
        """The CA of the cluster, the role's path."""
        return f"{self.ca_dir}/{CA}"

    @property
    def etcd(self) -> str:
        """The folder of etcd's own files: the only one that the container sees."""
        return f"{self.ca_dir}/etcd"

    @property
    def links(self) -> dict[str, str]:
        """The role's paths of certificate and key, each with the target that its link must have."""
        return {f"{self.ca_dir}/{name}": f"etcd/{name}" for name in (CERTIFICATE, KEY)}

    @property
    def modes(self) -> dict[str, int]:
        """Etcd's own files and folder, each with the mode that it must have."""
        return {
            self.etcd: DIRECTORY_MODE,
            f"{self.etcd}/{CERTIFICATE}": CERTIFICATE_MODE,
            f"{self.etcd}/{KEY}": KEY_MODE,
            f"{self.etcd}/{CA}": CERTIFICATE_MODE,
        }

    @property
    def manifests(self) -> str:
        """The folder that the kubelet watches. Every file in it is a Pod, whatever its name (k8s#129364)."""
        return f"{self.kube_base_dir}/manifests"

    @property
    def manifest(self) -> str:
        """The static Pod."""
        return f"{self.manifests}/etcd.yaml"

    @property
    def staging(self) -> str:
        """A folder on the manifest's file system, outside the one that the kubelet watches."""
        return self.kube_base_dir

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
        return (self.ca, *self.links, *self.modes, f"{self.etcd}/..data", self.manifests, self.manifest, self.data)

    @property
    def texts(self) -> tuple[str, ...]:
        """The files whose content an observation reads. None of them holds a secret."""
        return (self.ca, f"{self.etcd}/{CERTIFICATE}", f"{self.etcd}/{CA}", self.manifest)


def layout(settings: Settings) -> Layout:
    """Return the paths that these settings mean."""
    return Layout(ca_dir=settings.ca_dir, kube_base_dir=settings.kube_base_dir, data=settings.etcd_data_dir)
