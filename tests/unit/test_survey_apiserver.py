"""A host that runs an API server, read by the same one command: its manifest, its containers, never its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd import apiserver
from nornir_etcd.observation import ApiServerState, HostObservation, Unknown
from tests.unit.runtimes.test_containerd import named
from tests.unit.test_apiserver import KUBEADM
from tests.unit.test_survey import SHELLS, Tree

if TYPE_CHECKING:
    from nornir_etcd.observation import Maybe

ID = "599cf024fa88898c248d860424d876a2b15406011099802116e59dcaca00ec8b"


class ControlPlane(Tree):
    """A host's files as a deploy and a kubeadm leave them."""

    def deploy(self) -> None:
        """Leave an API server beside the member."""
        super().deploy()
        self.write(self.paths.apiserver_manifest, KUBEADM.encode(), 0o600)
        self.write(self.paths.apiserver_certificate, b"its certificate\n")
        self.write(self.paths.apiserver_key, b"its key\n", 0o600)
        self.list(named("kube-apiserver"))

    def list(self, listed: str) -> None:
        """Let the runtime list other containers."""
        self.write(f"{self.root}/listed.json", f"{listed}\n".encode())
        self.containers = f'while IFS= read -r line; do echo "$line"; done <{self.root}/listed.json'

    def state(self) -> Maybe[ApiServerState | None]:
        """Return what is seen of the API server."""
        return self.survey().apiserver


@pytest.fixture
def host(tmp_path: Path) -> ControlPlane:
    made = ControlPlane(tmp_path)
    made.deploy()
    return made


def known(state: Maybe[ApiServerState | None]) -> ApiServerState:
    assert isinstance(state, ApiServerState)
    return state


@pytest.mark.parametrize("shell", SHELLS)
def test_an_api_server_is_read_with_the_rest_and_its_key_is_not(shell: str, host: ControlPlane) -> None:
    host.shell = shell
    assert b"its key" not in host.output()
    seen, paths = host.survey(), host.paths
    assert seen.error is None
    assert set(seen.files) == set(paths.observed)
    assert seen.texts[paths.apiserver_certificate] == "its certificate\n"
    assert (seen.files[paths.apiserver_key].mode, seen.files[paths.apiserver_key].size) == (0o600, 8)
    state = known(seen.apiserver)
    assert state.manifest == apiserver.parse(KUBEADM)
    assert state.container is not None
    assert (state.container.id, state.container.running, state.container.attempt) == (ID, False, 3)
    assert seen.container is not None
    assert seen.container.pod == "etcd-node-1", "the member's own is told apart"


def test_a_host_without_one_is_known_to_run_none(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.deploy()
    assert tree.survey().apiserver is None


def test_a_container_that_has_ended_is_no_api_server_where_its_manifest_is_gone(host: ControlPlane) -> None:
    Path(host.paths.apiserver_manifest).unlink()
    assert host.state() is None


def test_one_that_runs_and_whose_manifest_lies_elsewhere_is_seen(host: ControlPlane) -> None:
    Path(host.paths.apiserver_manifest).unlink()
    host.list(named("kube-apiserver").replace("CONTAINER_EXITED", "CONTAINER_RUNNING"))
    state = known(host.state())
    assert state.manifest is None
    assert state.container is not None


def test_a_manifest_that_makes_no_sense_is_unknown_with_the_reason(host: ControlPlane) -> None:
    host.write(host.paths.apiserver_manifest, b"kind: Pod\nspec: {}\n")
    state = known(host.state())
    assert state.manifest == Unknown(
        f"{host.paths.apiserver_manifest}: wanted a container named kube-apiserver, found none"
    )
    assert state.container is not None


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_a_manifest_that_is_no_file_is_unknown_and_not_absent(kind: str, host: ControlPlane) -> None:
    path = Path(host.paths.apiserver_manifest)
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert known(host.state()).manifest == Unknown(f"{path} could not be read")


def test_a_runtime_that_is_down_leaves_the_containers_unknown(host: ControlPlane) -> None:
    host.containers = "echo the runtime is down >&2; exit 1"
    assert isinstance(known(host.state()).containers, Unknown)
    Path(host.paths.apiserver_manifest).unlink()
    assert isinstance(host.state(), Unknown), "one may run all the same"


def test_a_container_of_an_api_server_that_makes_no_sense_leaves_etcds_alone(host: ControlPlane) -> None:
    document = json.loads(named("kube-apiserver"))
    del document["containers"][0]["createdAt"]
    host.list(json.dumps(document))
    seen: HostObservation = host.survey()
    assert isinstance(known(seen.apiserver).containers, Unknown)
    assert seen.container is not None


@pytest.mark.parametrize("tool", ["stat", "cat"])
def test_a_host_without_a_tool_is_not_said_to_run_none(tool: str, host: ControlPlane) -> None:
    host.tools = [name for name in host.tools if name != tool]
    state = host.state()
    assert state is not None
    if isinstance(state, ApiServerState):
        assert state.manifest in {
            apiserver.parse(KUBEADM),
            Unknown(f"{host.paths.apiserver_manifest} could not be read"),
        }
