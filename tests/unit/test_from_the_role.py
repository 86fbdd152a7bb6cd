"""The page for those who come from the Ansible role names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from nornir_etcd.cli import app
from nornir_etcd.layout import layout
from nornir_etcd.settings import Settings
from tests.unit.builders import make_cluster

PAGE = Path(__file__).parents[2] / "docs" / "from-the-role.md"
ROLE = {
    *("etcd_deploy_mode", "etcd_data_dir", "etcd_version", "kube_base_dir", "ca_dir", "registry", "registry_project"),
    *("etcd_image", "container_runtime", "etcd_initial_cluster", "deploy_name", "generate_certs_dir"),
    *("cfssl_version", "cfssl_dir"),
}
"""Every variable of the role."""


def words() -> list[str]:
    return re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8"))


def test_every_variable_of_the_role_is_there_and_one_of_ours() -> None:
    assert set(words()) >= ROLE
    assert set(Settings.model_fields) >= ROLE


def test_every_command_of_ours_is_one() -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    named = {word.split()[1] for word in words() if word.startswith("nornir-etcd ")}
    assert named
    assert named <= known


def test_the_files_that_are_kept_are_named() -> None:
    paths = layout(make_cluster().members[0].settings)
    assert paths.roles_manifest.replace(paths.kube_base_dir, "{{ kube_base_dir }}") in words()
    assert "NAME.nornir-etcd-TIME" in words()
