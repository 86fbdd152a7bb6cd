"""Faults on lab hosts, made for real and undone; and what must hold after each."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import yaml

from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir_etcd.lab import Lab

NODES = ("node-1", "node-2", "node-3")
PKI = "/etc/kubernetes/pki"

_HOLD = """\
mkdir -p /run/fault && : >/run/fault/{tool} && cat >/usr/local/bin/{tool} <<'END'
#!/bin/sh
case "$*" in {arguments})
    [ ! -e /run/fault/{tool} ] || echo $PPID >/run/fault/{tool}.reached
    while [ -e /run/fault/{tool} ]; do sleep 0.02; done ;;
esac
exec /usr/bin/{tool} "$@"
END
chmod 0755 /usr/local/bin/{tool}
"""


def wait_for(what: Callable[[], object], reason: str, seconds: float = 30) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, f"not within {seconds} s: {reason}"
        time.sleep(0.02)


def _disk(path: str) -> str:
    return f"/run/disk{path.replace('/', '-')}"


class Faults:
    """What goes wrong on the hosts of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._undo = contextlib.ExitStack()

    def undo(self) -> None:
        """Make everything right again."""
        self._undo.close()

    def _after(self, node: str, command: str) -> None:
        self._undo.callback(self.lab.run, node, command, check=False)

    def _servers(self, node: str) -> dict[int, int]:
        """The sshd's of a host: the parent of each, by process ID, as the host numbers them."""
        return {pid: parent for pid, name, parent in self._processes(node) if name.startswith("sshd")}

    def _processes(self, node: str) -> Iterator[tuple[int, str, int]]:
        for directory in (self.lab.root(node) / "proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                head, _, rest = (directory / "stat").read_text().rpartition(") ")
                yield int(directory.name), head.partition("(")[2], int(rest.split()[1])

    def running(self, node: str, name: str) -> list[int]:
        """The processes of that name on a host."""
        return [pid for pid, found, _ in self._processes(node) if found == name]

    def signal_sessions(self, node: str, signal: str) -> None:
        """Send a signal to the SSH sessions of a host: KILL cuts them, STOP lets them hang."""
        servers = self._servers(node)
        self._signal(node, signal, [pid for pid, parent in servers.items() if parent in servers])

    def stop_server(self, node: str) -> None:
        """Let the SSH server of a host take no notice of anybody; the kernel still takes connections for it."""
        servers = self._servers(node)
        self._signal(node, "STOP", [pid for pid, parent in servers.items() if parent not in servers])

    def _signal(self, node: str, signal: str, pids: list[int]) -> None:
        assert pids, f"{node}: no process to send {signal} to"
        targets = " ".join(map(str, pids))
        self.lab.run(node, f"kill -{signal} {targets}")
        if signal == "STOP":
            self._after(node, f"kill -CONT {targets}")

    def hold(self, node: str, tool: str, arguments: str) -> None:
        """Let the calls of a tool with such arguments (a pattern of sh's `case`) wait on a host, as on a slow disk."""
        self._after(node, f"rm -rf /run/fault /usr/local/bin/{tool}")
        self.lab.run(node, _HOLD.format(tool=tool, arguments=arguments))

    def held(self, node: str, tool: str) -> int:
        """Wait until a call of the tool is held; return the process ID of the shell that made it."""
        reached = self.lab.root(node) / f"run/fault/{tool}.reached"
        wait_for(lambda: reached.exists() and reached.read_text().strip(), f"{node}: {tool} is called")
        return int(reached.read_text())

    def release(self, node: str, tool: str) -> None:
        """Let the tool go on, and from then on work as it always did."""
        self.lab.run(node, f"rm -f /run/fault/{tool} /run/fault/{tool}.reached /usr/local/bin/{tool}")

    def disk(self, node: str, path: str, size: str) -> None:
        """Give a folder of a host a disk of its own, in memory."""
        disk = _disk(path)
        self.lab.run(
            node,
            f"mkdir -p {disk} {path} && mount -t tmpfs -o size={size} tmpfs {disk} && mkdir -m 0755 {disk}/content && "
            f"mount --bind {disk}/content {path}",
        )
        self._after(node, f"umount -l {path}; umount -l {disk}; rmdir {disk}")

    def fill(self, node: str, path: str, leave: int = 0) -> None:
        """Fill the disk of a folder but for some bytes."""
        free = f"$(( $(stat -f -c '%a * %S' {_disk(path)}) - {leave} ))"
        self.lab.run(node, f"fallocate -l {free} {_disk(path)}/filler")

    def make_room(self, node: str, path: str) -> None:
        """Undo `fill`."""
        self.lab.run(node, f"rm {_disk(path)}/filler")

    def read_only(self, node: str, path: str) -> None:
        """Let a folder of a host be read-only."""
        self.lab.run(node, f"mount --bind {path} {path} && mount -o remount,bind,ro {path}")
        self._after(node, f"umount -l {path}")

    def replace_tool(self, node: str, tool: str, script: str) -> None:
        """Put a script in a tool's place on a host; the tool is /usr/local/bin/TOOL.real meanwhile."""
        place = f"/usr/local/bin/{tool}"
        self.lab.run(
            node, f"mv {place} {place}.real && printf '%s\\n' '#!/bin/sh' '{script}' >{place}; chmod 755 {place}"
        )
        self._after(node, f"[ ! -e {place}.real ] || mv {place}.real {place}")

    def background(self, node: str, command: str) -> int:
        """Start a command on a host that goes on in the background, and return its process ID there."""
        done = self.lab.run(node, f"setsid {command} </dev/null >/dev/null 2>&1 & echo $!")
        pid = int(done.stdout)
        self._after(node, f"kill -KILL {pid}")
        return pid


def nothing_is_half(lab: Lab, node: str) -> None:
    """Hold that what stands on a host is whole, whatever happened: manifest, key, certificate and CA, or none."""
    root = lab.root(node)
    names = [path.name for path in (root / "etc/kubernetes/manifests").glob("*")]
    assert names in ([], ["etcd.yaml"]), f"{node}: {names}"
    for name in names:
        text = (root / "etc/kubernetes/manifests" / name).read_text()
        assert yaml.safe_load(text)["kind"] == "Pod", f"{node}: {text}"
        assert text.endswith("\n"), f"{node}: {text}"
    check = (
        f"cd {PKI}/etcd 2>/dev/null && [ -e etcd.pem ] || exit 0; "
        "cert=$(openssl x509 -in etcd.pem -noout -pubkey) && key=$(openssl pkey -in etcd-key.pem -pubout) && "
        '[ "$cert" = "$key" ] && openssl verify -CAfile ca.pem etcd.pem'
    )
    lab.run(node, check)


def left_behind(lab: Lab, node: str) -> list[str]:
    """What a push has left on a host: staged files, and folders of certificates that are not the one in use."""
    staged = "find /etc/kubernetes /var/lib/etcd -name '.nornir-etcd-*'"
    others = f'find {PKI}/etcd -mindepth 1 -maxdepth 1 -type d ! -name "$(readlink {PKI}/etcd/..data)"'
    return lab.run(node, f"{staged}; {others}").stdout.split()


def completes(workspace: Workspace, *words: str) -> list[dict[str, Any]]:
    """Hold that the same command now completes the work and leaves nothing behind; return the steps that it took."""
    run = workspace.deploy(*words)
    assert [member["healthy"] for member in run.cluster["members"]] == [True, True, True]
    assert workspace.deploy(*words).cluster["outcome"] == "unchanged"
    for node in NODES:
        nothing_is_half(workspace.lab, node)
        assert left_behind(workspace.lab, node) == [], node
    steps: list[dict[str, Any]] = run.cluster["plan"]
    return steps


def reads(workspace: Workspace) -> bool:
    """Whether the cluster answers a linearizable read, whichever member is asked first."""
    urls = ",".join(f"https://{node.address}:2379" for node in workspace.lab.nodes)
    ask = ETCDCTL.replace("https://127.0.0.1:2379", urls) + " --command-timeout=15s get x"
    return any(workspace.lab.run(node, ask, check=False).returncode == 0 for node in NODES)


def told(run: Any, host: str, *reasons: str) -> bool:
    """Whether a run failed for a host and said so: exit code 3, and a line that names host and one of the reasons."""
    cluster = run.cluster
    lines = [*cluster["refusals"], cluster["error"], *(step["error"] for step in cluster["plan"])]
    logs = ["\n".join(step["log"]) for step in cluster["plan"] if step["host"] == host]
    found = any(host in line and any(reason in line for reason in reasons) for line in lines)
    in_log = any(reason in log for log in logs for reason in reasons) and any(host in line for line in lines)
    return run.code == 3 and (found or in_log)


__all__ = ["MANIFEST", "NODES", "PKI", "Faults", "completes", "left_behind", "nothing_is_half", "reads", "told"]
