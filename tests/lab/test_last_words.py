"""The log of a member that refuses to start, read where it is needed alone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from nornir import InitNornir

from nornir_etcd import clusters_in
from nornir_etcd.last_words import observe_last_words
from nornir_etcd.observe import observe
from nornir_etcd.plan.damage import damages, doubts
from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

FLIP = """\
wal=$(echo /var/lib/etcd/member/wal/*.wal)
printf '\\377\\377\\377\\377' | dd of="$wal" bs=1 seek=140 conv=notrunc 2>/dev/null
"""
CRASHED = 30.0
"""Seconds in which the kubelet has started the member with damaged data, and it has ended."""


def test_a_member_whose_wal_is_damaged_is_found_by_its_log(fresh_lab: Lab, tmp_path: Path) -> None:
    workspace = Workspace(fresh_lab, tmp_path)
    workspace.inventory()
    workspace.deploy()
    nr = InitNornir(config_file=str(tmp_path / "config.yaml"), logging={"enabled": False})
    (cluster,), _ = clusters_in(nr.inventory)
    try:
        assert observe_last_words(nr, cluster, observe(nr, cluster)) == {}
        fresh_lab.run("node-3", f"mv {MANIFEST} /root/etcd.yaml")
        workspace.await_stop("node-3")
        fresh_lab.run("node-3", f"{FLIP}touch /root/etcd.yaml; mv /root/etcd.yaml {MANIFEST}")
        until = time.monotonic() + CRASHED
        while True:
            observation = observe(nr, cluster)
            words = observe_last_words(nr, cluster, observation)
            assert set(words) <= {"node-3"}
            observation = replace(observation, last_words=words)
            found = damages(cluster, observation)
            if found or time.monotonic() > until:
                break
            time.sleep(0.2)
        assert set(found) == {"node-3"}, doubts(cluster, observation)
        assert "it refuses to start: a record of its WAL does not have the checksum" in found["node-3"]
    finally:
        nr.close_connections()
