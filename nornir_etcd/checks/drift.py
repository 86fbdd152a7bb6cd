"""Has somebody changed on a host what deploy wrote: manifest, flags, modes, the folder of static Pods?"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import HOST, Kind
from nornir_etcd.checks.membership import MEMBERS
from nornir_etcd.checks.preflight import kubelet
from nornir_etcd.layout import CERTIFICATE_MODE, DIRECTORY_MODE, MANIFEST_MODE, layout
from nornir_etcd.manifest import command_flags, image_of
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.change_over import is_roles
from nornir_etcd.plan.manifest import differing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import FileState
    from nornir_etcd.report.model import Finding

EQUAL_FLAGS = {
    "auth-token": "simple",
    "auto-compaction-mode": "periodic",
    "auto-compaction-retention": "0",
    "client-cert-auth": "false",
    "election-timeout": "1000",
    "heartbeat-interval": "100",
    "initial-cluster-token": "etcd-cluster",
    "max-request-bytes": "1572864",
    "max-txn-ops": "128",
    "peer-client-cert-auth": "false",
    "pre-vote": "true",
    "quota-backend-bytes": "0",
    "snapshot-count": "",
    "strict-reconfig-check": "true",
    "tls-min-version": "",
    "watch-progress-notify-interval": "",
}
"""Flags that must not differ between members, with etcd's default; empty: it differs between releases. Heartbeat and
election: https://etcd.io/docs/v3.5/tuning/; token: https://etcd.io/docs/v3.5/op-guide/clustering/; what is applied must
be applied alike by all; the rest decides how safe the whole is, and the weakest member decides that."""

GATES = {
    "experimental-compact-hash-check-enabled": "CompactHashCheck",
    "experimental-initial-corrupt-check": "InitialCorruptCheck",
}
"""Flags that 3.6 made feature gates of."""

BACKUP = re.compile(
    r"~$|[.](?:bak|backup|copy|disabled|dpkg-(?:dist|new|old)|off|old|orig|rej|rpm(?:new|orig|save)|save|sw[a-p]|tmp)"
    r"(?:[.~-]?\d+)?$|[._~-]\d{6,14}$",
    re.IGNORECASE,
)
"""Names that editors, packagers and people give to copies: a suffix, or a date at the end."""

SHOWN = 100
"""Characters of a line that a message shows; the diff in the evidence has all."""

ROOT = "0:0"
"""Owner and group of everything that is etcd's on a host."""

KINDS = (
    Kind(
        code="manifest.drift",
        asks="Is the manifest on the host the one that deploy would write?",
        reads=HOST,
        worst="critical",
    ),
    Kind(
        code="flags.unequal",
        asks="Are the flags that all members must share the same in the manifests on the hosts?",
        reads=HOST,
        worst="warning",
        rule="https://etcd.io/docs/v3.5/tuning/",
    ),
    Kind(
        code="file.mode",
        asks="Do keys, certificates, manifest and folders have the owner and mode that they must have?",
        reads=HOST,
        worst="critical",
    ),
    Kind(
        code="manifests.leftover",
        asks="Does the folder of static Pods hold no second etcd and no backup?",
        reads=HOST,
        worst="critical",
        rule="the kubelet runs every file there, whatever its name (k8s#129364, kubeadm#2823)",
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the files of every host, then the flags of all."""
    for member in seen.cluster.members:
        if seen.cluster.managed:
            yield _manifest(seen, member)
        yield _modes(seen, member)
        yield _leftover(seen, member)
    yield _flags(seen)


def _manifest(seen: Evidence, member: Member) -> Finding:
    """Compare the manifest as the planner does: what deploy would not change is no drift."""
    asked = Check("manifest.drift", member.name)
    text = _text(seen, member)
    if isinstance(text, Unknown):
        return asked.unknown(text)
    if text is None:
        joins = seen.state.live is not None and seen.state.entry(member) is None
        return asked.critical("there is no manifest on the host", MEMBERS if joins else "run deploy")
    if member.name not in seen.manifests:
        return asked.unknown("the manifest that deploy would write was not rendered")
    diffs = differing(seen.cluster, seen.observation, seen.manifests, frozenset({member.name}))
    path = layout(member.settings).manifest
    if member.name not in diffs:
        return asked.ok("the manifest is the one that deploy would write", path=path)
    diff = diffs[member.name]
    if is_roles(member, seen.host(member.name)):
        return asked.warning(
            f"{path} is the Ansible role's and not what deploy would write: {_counted(diff)}",
            "run deploy --dry-run, which names what would change and why, then deploy",
            path=path,
            diff=diff,
        )
    return asked.warning(
        f"{path} is not what deploy would write: {_counted(diff)}",
        "look at the diff (-: on the host, +: wanted); take it into the inventory, or run deploy",
        path=path,
        diff=diff,
    )


def _text(seen: Evidence, member: Member) -> str | Unknown | None:
    """Return the manifest on the host; None where there is none."""
    host, path = seen.host(member.name), layout(member.settings).manifest
    if host.error is not None:
        return host.error
    state = host.files.get(path)
    if path not in host.texts and (state is None or state.kind != "absent"):
        return Unknown(f"{path} could not be read")
    return host.texts.get(path)


def _counted(diff: str) -> str:
    """Return how many lines differ, and the line itself where it is one."""
    lines = diff.splitlines()[2:]  # without the headings
    found, wanted = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
    count = max(len(found), len(wanted))
    if not count:
        return "line endings differ"
    if len(found) == len(wanted) == 1 and found != wanted:
        return f"1 line differs: wanted {wanted[0][:SHOWN]}, found {found[0][:SHOWN]}"
    return f"{count} {'line differs' if count == 1 else 'lines differ'}"


def _flags(seen: Evidence) -> Finding:
    asked = Check("flags.unequal", seen.cluster.name)
    found: dict[str, dict[str, str]] = {}
    images: set[str] = set()
    doubtful: dict[str, str] = {}
    for member in seen.cluster.members:
        text = _text(seen, member)
        try:
            if text is None:
                doubtful[member.name] = "there is no manifest on the host"
            elif isinstance(text, Unknown):
                doubtful[member.name] = text.reason
            else:
                found[member.name] = _shared(command_flags(text))
                images.add(image_of(text))
        except ValueError as error:
            doubtful[member.name] = f"{layout(member.settings).manifest}: {error}"
    unequal = _unequal(found)
    if unequal:
        told = "; ".join(f"{name}: {values}" for name, values in unequal.items())
        return asked.warning(
            f"flags that all members must share differ: {told}", _equalise(seen, mixed=len(images) > 1), **unequal
        )
    if doubtful:
        return asked.unknown(
            f"the flags of {', '.join(doubtful)} are not known: {'; '.join(dict.fromkeys(doubtful.values()))}"
        )
    return asked.ok("the flags that all members must share are the same on all")


def _equalise(seen: Evidence, *, mixed: bool) -> str:
    """Return what makes flags equal; `mixed`: members have different images, whose releases know different flags."""
    if not seen.cluster.managed:
        return "make them the same in the members' manifests, one member at a time"
    if mixed:
        return "bring all members to one image first (runbook upgrade); flags come and go with releases"
    return "set them once, in the members' group, and run deploy"


def _shared(flags: Mapping[str, str]) -> dict[str, str]:
    """Return the flags that must be equal, under the names that the newest release gives them."""
    # A flag of the kind that is either true or false may stand without a value.
    given = {GATES.get(name, name.removeprefix("experimental-")): value or "true" for name, value in flags.items()}
    found = {name: given.get(name, default) for name, default in EQUAL_FLAGS.items()}
    gates = dict.fromkeys(GATES.values(), "false") | {name: given[name] for name in GATES.values() if name in given}
    for gate in filter(None, flags.get("feature-gates", "").split(",")):
        name, _, value = gate.partition("=")
        gates[name] = value
    return found | gates


def _unequal(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return, by flag, who has which value, where they differ."""
    names = dict.fromkeys(name for flags in found.values() for name in flags)
    unequal: dict[str, str] = {}
    for name in names:
        members: dict[str, list[str]] = defaultdict(list)
        for member, flags in found.items():
            members[flags.get(name, "")].append(member)
        if len(members) > 1:
            unequal[name] = ", ".join(f"{value or 'not set'} on {', '.join(who)}" for value, who in members.items())
    return unequal


def _modes(seen: Evidence, member: Member) -> Finding:
    asked = Check("file.mode", member.name)
    host = seen.host(member.name)
    if host.error is not None:
        return asked.unknown(host.error)
    wanted = _wanted_modes(member)
    states = {path: host.files[path] for path in wanted if path in host.files}
    there = {path: state for path, state in states.items() if state.kind != "absent"}
    wrong = {path: found for path, state in there.items() if (found := _wrong(state, wanted[path]))}
    if wrong:
        bare = [path for path in layout(member.settings).keys if path in wrong and there[path].mode & 0o077]
        say = asked.critical if bare else asked.warning
        message = "; ".join(f"{path} has {found}" for path, found in wrong.items())
        remedies = [command for path in wrong for command in _put_right(path, there[path], wanted[path])]
        if bare:
            ours = f"take {member.name}'s pair out of {member.settings.generate_certs_dir} and run certs"
            anew = ours if seen.cluster.managed else "have the pair issued anew"
            remedies.append(f"if others have been on the host, {anew}")
        return say(message, "; ".join(remedies), **wrong)
    if unread := [path for path in wanted if path not in states or _is_dangling(states[path])]:
        return asked.unknown(f"could not be read: {', '.join(unread)}")
    if not there:
        return asked.unknown("there is none of the files: nothing is deployed")
    return asked.ok(
        "owner and mode are right wherever a file is there",
        **{path: f"{state.mode:04o}" for path, state in there.items()},
    )


def _wanted_modes(member: Member) -> dict[str, int]:
    paths = layout(member.settings)
    return {
        **paths.modes,
        paths.ca: CERTIFICATE_MODE,
        paths.manifests: DIRECTORY_MODE,
        paths.manifest: MANIFEST_MODE,
        paths.data: DIRECTORY_MODE,
    }


def _wrong(state: FileState, wanted: int) -> str:
    """Return what is wrong with a file's mode and owner, in a few words; empty where nothing is."""
    if _is_dangling(state):
        return ""
    found = []
    if state.mode != wanted:
        found.append(f"mode {state.mode:04o}, wanted {wanted:04o}")
    # Without capabilities, as it runs in its Pod, etcd reads and writes what is root's own and nothing else.
    if state.owner != ROOT:
        found.append(f"owner {state.owner}, wanted {ROOT}")
    return " and ".join(found)


def _put_right(path: str, state: FileState, wanted: int) -> Iterator[str]:
    if state.mode != wanted:
        yield f"chmod {wanted:04o} {path}"
    if state.owner != ROOT:
        yield f"chown {ROOT} {path}"


def _is_dangling(state: FileState) -> bool:
    """Whether it is a link that leads nowhere: there is no file whose mode could be told."""
    return state.kind == "link" and not state.owner


def _leftover(seen: Evidence, member: Member) -> Finding:
    return kubelet.judge_folder(
        Check("manifests.leftover", member.name),
        seen,
        member,
        suspect=BACKUP.search,
        harmless="holds no second etcd and no copy",
    )
