"""Will a kubelet start the Pod, and nothing but one Pod of that name?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.layout import layout
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import Kubelet
    from nornir_etcd.report.model import Finding


def runs(seen: Evidence, member: Member) -> Finding:
    """Check that a kubelet would start the Pod."""
    return judge(Check("preflight.kubelet", member.name), seen, member)


def judge(asked: Check, seen: Evidence, member: Member) -> Finding:
    """Say whether a kubelet runs and takes static Pods from the folder that the manifest goes to."""
    kubelets = surroundings(seen.observation, member).kubelets
    wanted = layout(member.settings).manifests
    if isinstance(kubelets, Unknown):
        return asked.unknown(f"the kubelet's arguments could not be read: {kubelets.reason}", "look at it on the host")
    if not kubelets:
        return asked.critical(
            "no kubelet runs: nothing would start the Pod", "start the kubelet (systemctl status kubelet)"
        )
    # A host may run several, as one that holds the nodes of kind does.
    best = next((one for verdict in _ORDER for one in kubelets if one.verdict == verdict), kubelets[0])
    read = {"pid": best.pid, "source": best.source, "static_pods": best.path or "none"}
    if best.verdict == "same":
        return asked.ok(f"a kubelet runs static Pods from {wanted}", **read)
    if best.verdict == "unreadable":
        return asked.unknown(f"the kubelet's configuration {best.source} could not be read", "look at it", **read)
    return asked.critical(_elsewhere(best, wanted), _remedy(best, wanted), **read)


_ORDER = ("same", "unreadable", "other", "unset")


def _elsewhere(found: Kubelet, wanted: str) -> str:
    if found.verdict == "unset":
        return f"the kubelet runs no static Pods: neither a flag nor {found.source} names a folder, wanted {wanted}"
    return f"the kubelet runs static Pods from {found.path} ({found.source}), wanted {wanted}"


def _remedy(found: Kubelet, wanted: str) -> str:
    set_it = f"set staticPodPath: {wanted} in the kubelet's configuration and restart it"
    if found.verdict == "other" and found.path.endswith("/manifests"):
        return f"{set_it}, or set kube_base_dir: {found.path.removesuffix('/manifests')}"
    return set_it


def folder(seen: Evidence, member: Member) -> Finding:
    """Check that no other file in the folder is a Pod named etcd, as a backup of the manifest is.

    The kubelet runs every file there that does not begin with a dot, whatever its name (k8s#129364, kubeadm#2823).
    """
    return judge_folder(
        Check("preflight.manifests", member.name),
        seen,
        member,
        suspect=lambda name: name.startswith("etcd"),
        harmless="holds no other Pod of this name",
    )


def judge_folder(
    asked: Check, seen: Evidence, member: Member, *, suspect: Callable[[str], object], harmless: str
) -> Finding:
    """Judge what else lies in the folder of static Pods.

    Args:
        asked: the question.
        seen: the observation.
        member: whose folder.
        suspect: whether a file that defines no etcd is one to be moved away, by its name.
        harmless: what is said of a folder without either.
    """
    found = surroundings(seen.observation, member).manifests
    path = layout(member.settings).manifests
    if isinstance(found, Unknown):
        return asked.unknown(f"{path} could not be read: {found.reason}", "look at it on the host")
    read = {"folder": path, "others": ", ".join(found.files) or "none"}
    if found.etcd:
        names = ", ".join(found.etcd)
        return asked.critical(
            f"{path} holds another Pod or container named etcd: {names}; the kubelet runs every file there",
            f"move {names} out of {path}; backups do not belong there",
            **read,
        )
    if others := [name for name in found.files if suspect(name)]:
        names = ", ".join(others)
        return asked.warning(
            f"{path} holds {names}, which the kubelet takes for a Pod as well", f"move {names} out of {path}", **read
        )
    return asked.ok(f"{path} {harmless}", **read)
