"""Pushes into real registries: with a private CA, a login, tokens and plain HTTP, and what is refused in a line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images import push as push_module
from nornir_etcd.images.archive import read
from nornir_etcd.images.choice import Chosen, choose
from nornir_etcd.images.push import push, size
from nornir_etcd.images.reference import parse
from nornir_etcd.images.registry import Login, Registry
from tests.contract.registries import PASSWORD, USER, Cutter, Pages, Tokens, free_port, htpasswd, registry
from tests.unit.images.archives import layout_files, make, pack, saved_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.registries import Server

pytestmark = pytest.mark.contract

LOGIN = Login(USER, PASSWORD)
BIG = 20_000_000
"""Bytes of a layer that goes in three pieces."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with registry(tmp_path / "registry") as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "PAUSE", 0.05)


def chosen(folder: Path, address: str, files: dict[str, bytes] | None = None) -> Chosen:
    images = read(pack(folder / "image.tar", files or saved_files(make())))
    return choose(parse(f"{address}/ikubeops/etcd:3.5.16-0"), images)


def pushed(to: Registry, one: Chosen) -> list[int]:
    told: list[int] = []
    assert push(to, one, told.append)
    return told


def refused(to: Registry) -> str:
    with pytest.raises(ImageError) as caught:
        to.check()
    line = str(caught.value)
    assert line.startswith(to.base)
    assert "\n" not in line
    assert PASSWORD not in line
    to.close()
    return line


def test_an_image_gets_there_once_and_whole(server: Server, tmp_path: Path) -> None:
    to, one = Registry(server.address, ca=server.ca), chosen(tmp_path, server.address)
    assert sum(pushed(to, one)) == size(one)
    (build,) = one.builds
    assert server.sent == {*build.blobs, build.digest}
    assert not push(to, one, pytest.fail)
    manifest = to.ask("GET", "/v2/ikubeops/etcd/manifests/3.5.16-0", headers={"Accept": build.media_type})
    assert manifest.body == build.raw
    to.close()


def test_a_layer_that_is_there_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    to = Registry(server.address, ca=server.ca)
    shared = b"shared"
    pushed(to, chosen(tmp_path, server.address, saved_files(make(contents=[shared]))))
    before = server.sent
    newer = chosen(tmp_path, server.address, saved_files(make(contents=[shared, b"new"])))
    pushed(to, newer)
    assert len(server.sent - before) == 3  # a layer, the configuration and the manifest
    to.close()


def test_all_platforms_of_an_image_go_under_its_own_index(server: Server, tmp_path: Path) -> None:
    to = Registry(server.address, ca=server.ca)
    one = chosen(tmp_path, server.address, layout_files(make(), make("arm64")))
    pushed(to, one)
    found = to.ask("GET", "/v2/ikubeops/etcd/manifests/3.5.16-0", headers={"Accept": one.index_type})
    assert found.body == one.index
    for entry in json.loads(found.body)["manifests"]:
        accept = {"Accept": entry["mediaType"]}
        assert to.ask("GET", f"/v2/ikubeops/etcd/manifests/{entry['digest']}", headers=accept).status == 200
    to.close()


def test_a_login_is_shown_where_it_is_asked_for(tmp_path: Path) -> None:
    with registry(tmp_path / "registry", auth=htpasswd(tmp_path / "htpasswd")) as server:
        to = Registry(server.address, ca=server.ca, login=LOGIN)
        to.check()
        pushed(to, chosen(tmp_path, server.address))
        to.close()
        assert "wanted a login, found none given; give --user" in refused(Registry(server.address, ca=server.ca))
        wrong = Registry(server.address, ca=server.ca, login=replace(LOGIN, password=f"{PASSWORD}-2"))
        assert f"wanted that {USER} may push, found refused: UNAUTHORIZED" in refused(wrong)
    assert PASSWORD not in repr(LOGIN)


def test_a_token_is_fetched_for_each_thing_that_one_is_asked_for(tmp_path: Path) -> None:
    with Tokens(tmp_path) as tokens, registry(tmp_path / "registry", tls=False, auth=tokens.auth) as server:
        to = Registry(server.address, plain_http=True, login=LOGIN)
        to.check()
        pushed(to, chosen(tmp_path, server.address))
        assert any(scope.startswith("repository:ikubeops/etcd:") and "push" in scope for scope in tokens.asked)
        to.close()
        assert "a login" in refused(Registry(server.address, plain_http=True))


def test_a_password_does_not_go_to_a_token_service_without_tls(tmp_path: Path) -> None:
    with Tokens(tmp_path) as tokens, registry(tmp_path / "registry", auth=tokens.auth) as server:
        line = refused(Registry(server.address, ca=server.ca, login=LOGIN))
        assert "wanted a token service over https, found http://" in line
        assert not tokens.asked


def test_plain_http_is_spoken_on_purpose_alone(server: Server, tmp_path: Path) -> None:
    with registry(tmp_path / "plain", tls=False) as plain:
        to = Registry(plain.address, plain_http=True)
        pushed(to, chosen(tmp_path, plain.address))
        to.close()
        line = refused(Registry(plain.address))
        assert "wanted a TLS handshake, found an answer without TLS; check the port; --plain-http" in line
    line = refused(Registry(server.address, plain_http=True))
    assert "found Client sent an HTTP request to an HTTPS server." in line


def test_a_certificate_of_an_unknown_ca_or_another_name_is_refused(server: Server, tmp_path: Path) -> None:
    line = refused(Registry(server.address))
    assert "wanted a certificate that is trusted, found " in line
    assert "--ca" in line
    line = refused(Registry(f"127.0.0.1:{server.port}", ca=server.ca))
    assert "127.0.0.1" in line.partition("found")[2]
    (tmp_path / "none.crt").write_text("nonsense")
    for path in (tmp_path / "none.crt", tmp_path / "missing.crt"):
        with pytest.raises(ImageError, match=r"--ca .*: wanted certificates as PEM, found "):
            Registry(server.address, ca=path)


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_a_page_for_people_is_refused_by_its_title(status: int) -> None:
    with Pages(status) as pages:
        line = refused(Registry(pages.address, plain_http=True))
    assert f"wanted the API of a registry, found HTML with status {status}, 'Sign in'" in line


def test_nobody_there_is_told() -> None:
    line = refused(Registry(f"127.0.0.1:{free_port()}", plain_http=True))
    assert "found connection refused" in line
    assert "without DNS" in refused(Registry("registry.invalid:5000", plain_http=True))


@pytest.mark.parametrize("after", [(BIG // 2,), (BIG // 2, 100_000, 12_000_000), (3_000,)])
def test_an_upload_that_breaks_is_gone_on_with(server: Server, tmp_path: Path, after: tuple[int, ...]) -> None:
    big = make(contents=[os.urandom(BIG)])
    with Cutter(server.port, *after) as way:
        address = f"localhost:{way.port}"
        to, one = Registry(address, ca=server.ca), chosen(tmp_path, address, saved_files(big))
        told = pushed(to, one)
        to.close()
        assert way.cut == len(after)
    assert sum(told) == size(one)
    assert server.sent >= set(one.builds[0].blobs)


def test_an_upload_is_gone_on_with_where_a_registry_that_was_restarted_has_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = chosen(tmp_path, server.address, saved_files(make(contents=[os.urandom(BIG)])))
    to, told, sent = Registry(server.address, ca=server.ca), [], []
    ask = to.ask

    def listen(method: str, target: str, body: bytes = b"", headers: Any = None) -> Any:
        sent.append((method, len(body)))
        return ask(method, target, body, headers)

    def restart(count: int) -> None:
        told.append(count)
        if sum(told) > BIG // 3 and server.process and len(told) == 2:
            server.stop()
            server.start()

    monkeypatch.setattr(to, "ask", listen)
    assert push(to, one, restart)
    to.close()
    assert sum(told) == size(one)
    assert sent.count(("POST", 0)) == 2, "one upload for each blob"
    pieces = [count for method, count in sent if method == "PATCH"]
    assert len(pieces) == 5, "the piece that found the registry gone is sent twice, no other"


def test_a_registry_that_goes_away_for_good_ends_the_push_and_the_next_one_ends_it_well(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = chosen(tmp_path, server.address, saved_files(make(contents=[b"first", os.urandom(BIG)])))
    to = Registry(server.address, ca=server.ca)
    monkeypatch.setattr(push_module, "PAUSE", 0.01)
    told = 0

    def stop(count: int) -> None:
        nonlocal told
        told += count
        if told > BIG // 3:
            server.stop()

    with pytest.raises(ImageError, match="connection refused"):
        push(to, one, stop)
    to.close()
    server.start()
    assert one.digest not in server.sent, "a tag must not lead to half an image"
    to = Registry(server.address, ca=server.ca)
    pushed(to, one)
    assert server.sent >= {*one.builds[0].blobs, one.digest}
    to.close()


def test_what_a_registry_does_not_take_is_told_in_its_words(server: Server, tmp_path: Path) -> None:
    one = chosen(tmp_path, server.address)
    bad: Any = replace(one, builds=(replace(one.builds[0], raw=b'{"schemaVersion": 2}'),))
    to = Registry(server.address, ca=server.ca)
    with pytest.raises(ImageError, match=r"manifests/3\.5\.16-0: wanted status 201, found 400: [A-Z_]+ "):
        push(to, bad, lambda _: None)
    to.close()
