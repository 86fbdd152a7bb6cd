"""A host is cleared of its member: stopped first, data kept, nothing of others touched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from nornir import InitNornir

from nornir_etcd.exceptions import StepFailed
from nornir_etcd.tasks import clear_member
from nornir_etcd.workflows.inventory import clusters_in
from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nornir.core.task import MultiResult

    from nornir_etcd.lab import Lab

    Clear = Callable[..., MultiResult]

pytestmark = pytest.mark.lab

NODE = "node-1"
LOOK = "ls -A /etc/kubernetes /etc/kubernetes/* /var/lib/etcd*"
SUMS = "find /var/lib/etcd* -name '*.wal' -exec sha256sum {} + | cut -d' ' -f1"


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    """A cluster of one member."""
    made = Workspace(fresh_lab, tmp_path)
    data = {"generate_certs_dir": str(tmp_path / "certs/example")}
    made.inventory(data=data, hosts={"node-2": None, "node-3": None})
    made.deploy()
    return made


@pytest.fixture
def clear(workspace: Workspace) -> Iterator[Clear]:
    """Runs the task on the host, which gives etcd so many seconds to stop."""
    nr = InitNornir(config_file=str(workspace.directory / "config.yaml"), logging={"enabled": False})

    def run(*, seconds: int = 60, **options: Any) -> MultiResult:
        (cluster,), _ = clusters_in(nr.inventory, {"etcd_start_timeout": str(seconds)})
        nr.data.reset_failed_hosts()
        return nr.run(task=clear_member, cluster=cluster, **options)[NODE]

    yield run
    nr.close_connections(on_failed=True)


def test_a_member_is_stopped_and_its_data_kept_and_a_second_run_changes_nothing(
    workspace: Workspace, clear: Clear
) -> None:
    lab = workspace.lab
    lab.run(NODE, f"cp {MANIFEST} /etc/kubernetes/etcd.yaml.former")
    before, entries = lab.run(NODE, LOOK).stdout, lab.run(NODE, f"{SUMS} | wc -l").stdout
    planned = clear(certificates=True, dry_run=True)[0]
    assert planned.changed
    assert lab.run(NODE, LOOK).stdout == before
    assert workspace.containers()[NODE]

    done = clear(certificates=True)[0]
    assert not done.failed, done.result
    assert done.changed
    lines = done.diff.splitlines()
    assert lines[:4] == [
        f"- {MANIFEST}",
        "- /etc/kubernetes/etcd.yaml.former",
        "- /etc/kubernetes/pki/etcd.pem",
        "- /etc/kubernetes/pki/etcd-key.pem",
    ]
    aside = lines[-1].removeprefix("+ ")
    assert lines[-2] == "- /var/lib/etcd"
    assert lab.run(NODE, "crictl ps -q --name '^etcd$'").stdout == ""
    assert lab.run(NODE, f"ls -d {aside}/member/wal /var/lib/etcd*").stdout.split() == [aside, f"{aside}/member/wal"]
    assert lab.run(NODE, f"{SUMS} | wc -l").stdout == entries != "0\n"
    assert lab.run(NODE, "find /etc/kubernetes -not -type d").stdout.split() == ["/etc/kubernetes/pki/ca.pem"]

    again = clear(certificates=True)[0]
    assert (again.failed, again.changed, again.diff) == (False, False, "")


def test_data_stays_where_an_etcd_could_start_again_and_the_next_run_goes_on(
    workspace: Workspace, clear: Clear
) -> None:
    """Etcd that is removed from its cluster crashes again and again: no container runs when its host is cleared."""
    lab = workspace.lab
    sums = lab.run(NODE, SUMS).stdout
    lab.run(NODE, "kill -STOP $(pgrep -x kubelet); kill -KILL $(pgrep -x etcd)")
    workspace.await_stop(NODE)
    crashed = str(clear(seconds=2, purge=True)[0].exception)
    assert "etcd did not stop, and its data is not moved: wanted no container of it within 2 s" in crashed
    assert "is ready to start it again" in crashed
    lab.run(NODE, "mv /usr/local/bin/crictl /root/crictl")
    silent = clear(purge=True)[0].exception
    lab.run(NODE, "mv /root/crictl /usr/local/bin/crictl")
    assert isinstance(silent, StepFailed)
    assert "whether etcd runs is not known, and its data is not moved" in str(silent)
    assert lab.run(NODE, SUMS).stdout == sums

    lab.run(NODE, "kill -CONT $(pgrep -x kubelet)")
    ends = time.monotonic() + 30
    while (done := clear(seconds=10, purge=True)[0]).failed:
        assert time.monotonic() < ends, done.exception
    assert lab.run(NODE, "ls -d /var/lib/etcd*", check=False).stdout == ""
    assert done.diff == "- /var/lib/etcd/member\n- /var/lib/etcd\n"
    assert lab.run(NODE, "cat /etc/kubernetes/pki/etcd-key.pem").stdout
    assert not clear(purge=True)[0].changed
