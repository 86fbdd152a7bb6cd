"""Nornir tasks that carry out steps. Each is usable alone: `nr.run(task=..., cluster=cluster)`.

Every task takes the host's `Cluster`, since a filtered Nornir does not know the hosts that were filtered out, and a
member must never be configured as a cluster of the hosts that happen to be selected.
"""

from nornir_etcd.tasks.apiserver import place_apiserver_files, replace_etcd_servers, write_apiserver_manifest
from nornir_etcd.tasks.certificates import issue_apiserver, issue_certificate
from nornir_etcd.tasks.clear import clear_member
from nornir_etcd.tasks.container import await_learner, await_member, container_log, pull_image
from nornir_etcd.tasks.files import place_files
from nornir_etcd.tasks.leader import move_leader
from nornir_etcd.tasks.manifest import write_manifest
from nornir_etcd.tasks.membership import (
    add_learner,
    disarm_corrupt_alarm,
    promote_member,
    remove_member,
    update_peer_url,
)
from nornir_etcd.tasks.snapshot import save_snapshot
from nornir_etcd.tasks.upgrade import await_version, enable_downgrade, roll_back_member, upgrade_member

__all__ = [
    "add_learner",
    "await_learner",
    "await_member",
    "await_version",
    "clear_member",
    "container_log",
    "disarm_corrupt_alarm",
    "enable_downgrade",
    "issue_apiserver",
    "issue_certificate",
    "move_leader",
    "place_apiserver_files",
    "place_files",
    "promote_member",
    "pull_image",
    "remove_member",
    "replace_etcd_servers",
    "roll_back_member",
    "save_snapshot",
    "update_peer_url",
    "upgrade_member",
    "write_apiserver_manifest",
    "write_manifest",
]
