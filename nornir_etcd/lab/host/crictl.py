"""A stand-in for crictl on lab hosts: no crictl can be had from Debian or PyPI.

It knows the subcommands and flags that the program uses and answers from containerd's own CRI, in the shapes, words
and exit codes of the real crictl (recorded from v1.36 and held to it by tests/contract/test_crictl_shapes.py). What
it leaves out: streams (exec runs to its end and then prints, logs do not follow) and every flag not named here; on a
host with Docker it knows what the stand-in for cri-dockerd does.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import sys
import time

from nornir_etcd.lab.host.client import RuntimeCallError, call
from nornir_etcd.lab.host.criprint import fatal, human_size, klog, print_json, quote, rfc3339, say, table

TYPE_CHECKING = False  # importing typing costs a quick program 4 ms
if TYPE_CHECKING:
    from typing import Any

CONFIG = "/etc/crictl.yaml"
PULL_TIMEOUT = 300
EXEC_TIMEOUT = 120


class Failure(Exception):
    """What crictl says as it gives up: an optional line of its CRI client, then its own."""

    def __init__(self, message: str, *, trace: str | None = None) -> None:
        super().__init__(message)
        self.trace = trace


def parser() -> argparse.ArgumentParser:
    """Build the command line: crictl's own names, only those the program uses."""
    top = argparse.ArgumentParser(prog="crictl", description="stand-in for crictl on a lab host")
    top.add_argument("-r", "--runtime-endpoint", help="accepted; the host has one runtime")
    top.add_argument("-i", "--image-endpoint", help="accepted; the host has one runtime")
    top.add_argument("-c", "--config", help="accepted; /etc/crictl.yaml holds nothing else")
    top.add_argument("-t", "--timeout", help="accepted; each call has its own deadline")
    commands = top.add_subparsers(dest="command", required=True)
    for name, listing in (("ps", list_containers), ("pods", list_pods)):
        command = commands.add_parser(name)
        command.set_defaults(action=listing)
        command.add_argument("-q", "--quiet", action="store_true")
        command.add_argument("-o", "--output", default="table")
        command.add_argument("-l", "--latest", action="store_true")
        command.add_argument("-n", "--last", type=int, default=0)
        command.add_argument("-s", "--state")
        command.add_argument("--name")
        command.add_argument("--namespace")
        command.add_argument("--id", default="")
        command.add_argument("--label", action="append", default=[])
        if name == "ps":
            command.add_argument("-a", "--all", action="store_true")
            command.add_argument("-p", "--pod", default="")
    command = commands.add_parser("images")
    command.set_defaults(action=list_images)
    command.add_argument("-q", "--quiet", action="store_true")
    command.add_argument("-o", "--output", default="table")
    command.add_argument("repository", nargs="?", default="")
    for name, inspect in (("inspect", inspect_container), ("inspectp", inspect_pod), ("inspecti", inspect_image)):
        command = commands.add_parser(name)
        command.set_defaults(action=inspect)
        command.add_argument("-o", "--output", default="json")
        command.add_argument("id")
    command = commands.add_parser("logs")
    command.set_defaults(action=print_logs)
    command.add_argument("--tail", type=int, default=-1)
    command.add_argument("id")
    command = commands.add_parser("pull")
    command.set_defaults(action=pull)
    command.add_argument("image")
    command = commands.add_parser("exec")
    command.set_defaults(action=execute)
    command.add_argument("-s", "--sync", action="store_true")
    command.add_argument("--timeout", dest="exec_timeout", type=int, default=EXEC_TIMEOUT)
    command.add_argument("id")
    command.add_argument("cmd", nargs=argparse.REMAINDER)
    commands.add_parser("version").set_defaults(action=print_version)
    command = commands.add_parser("info")
    command.set_defaults(action=print_info)
    command.add_argument("-o", "--output", default="json")
    return top


def check_runtime() -> None:
    """Dial the runtime as crictl does before every command.

    Raises:
        Failure: it cannot be reached, in the words of Go's dialler.
    """
    with open(CONFIG, encoding="utf-8") as config:  # noqa: PTH123 - importing pathlib costs a quick program 10 ms
        endpoint = config.read().partition("unix://")[2].split()[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(endpoint)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            dial = f"transport: Error while dialing: dial unix {endpoint}: connect: {reason}"
            raise Failure(
                f'validate service connection: validate CRI v1 runtime API for endpoint "unix://{endpoint}": '
                f'rpc error: code = Unavailable desc = connection error: desc = "{dial}"'
            ) from None


def _labels(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise Failure("incorrectly formatted label: " + pair)
    return dict(pair.split("=", 1) for pair in pairs)


def _select(items: list[dict[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Narrow a listing as crictl does on its own side: name and namespace by pattern, newest first, the last few."""
    if options.name:
        items = [item for item in items if re.search(options.name, item["metadata"]["name"])]
    if options.namespace:
        namespace = "io.kubernetes.pod.namespace"
        items = [item for item in items if re.search(options.namespace, item["labels"].get(namespace, ""))]
    items = sorted(items, key=lambda item: int(item["createdAt"]), reverse=True)
    last = 1 if options.latest else options.last
    return items[:last] if last else items


def list_containers(options: argparse.Namespace) -> None:
    """Crictl ps: running containers, or with -a, --latest, --last all of them."""
    wanted: dict[str, Any] = {"id": options.id, "podSandboxId": options.pod, "labelSelector": _labels(options.label)}
    if options.state:
        wanted["state"] = {"state": f"CONTAINER_{options.state.upper()}"}
    elif not (options.all or options.latest or options.last):
        wanted["state"] = {"state": "CONTAINER_RUNNING"}
    try:
        found = _select(call("ListContainers", {"filter": wanted})["containers"], options)
    except RuntimeCallError as error:
        raise Failure(f"list containers: {error}") from None
    if options.quiet:
        say(*(item["id"] for item in found))
    elif options.output == "json":
        print_json({"containers": found})
    else:
        head = ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"]
        table(head, [_container_row(item) for item in found])


def _container_row(item: dict[str, Any]) -> list[str]:
    return [
        item["id"][:13],
        item["image"]["image"].removeprefix("sha256:")[:13],
        f"{max(0, int(time.time()) - int(item['createdAt']) // 10**9)} seconds ago",
        item["state"].removeprefix("CONTAINER_").capitalize(),
        item["metadata"]["name"],
        str(item["metadata"]["attempt"]),
        item["podSandboxId"][:13],
        item["labels"].get("io.kubernetes.pod.name", "unknown"),
        item["labels"].get("io.kubernetes.pod.namespace", "unknown"),
    ]


def list_pods(options: argparse.Namespace) -> None:
    """Crictl pods."""
    wanted: dict[str, Any] = {"id": options.id, "labelSelector": _labels(options.label)}
    if options.state:
        wanted["state"] = {"state": f"SANDBOX_{options.state.upper()}"}
    try:
        found = _select(call("ListPodSandbox", {"filter": wanted})["items"], options)
    except RuntimeCallError as error:
        raise Failure(f"list pod sandboxes: {error}") from None
    if options.quiet:
        say(*(item["id"] for item in found))
    elif options.output == "json":
        print_json({"items": found})
    else:
        head = ["POD ID", "STATE", "NAME", "NAMESPACE", "ATTEMPT"]
        rows = [
            [
                item["id"][:13],
                "Ready" if item["state"] == "SANDBOX_READY" else "NotReady",
                item["metadata"]["name"],
                item["metadata"]["namespace"],
                str(item["metadata"]["attempt"]),
            ]
            for item in found
        ]
        table(head, rows)


def list_images(options: argparse.Namespace) -> None:
    """Crictl images; containerd 1.6 gives all images whatever the filter."""
    try:
        images = call("ListImages", {"filter": {"image": {"image": options.repository}}})["images"]
    except RuntimeCallError as error:
        raise Failure(f"list images: {error}") from None
    images.sort(key=lambda image: image["repoTags"] + image["repoDigests"])
    if options.quiet:
        say(*(image["id"] for image in images))
    elif options.output == "json":
        print_json({"images": images})
    else:
        rows = []
        for image in images:
            repository, _, tag = (image["repoTags"] or ["<none>:<none>"])[0].rpartition(":")
            rows.append([repository, tag, image["id"].removeprefix("sha256:")[:13], human_size(int(image["size"]))])
        table(["IMAGE", "TAG", "IMAGE ID", "SIZE"], rows)


def _status(method: str, key: str, name: str, what: str, *, verbose: bool = True) -> Any:
    """Ask for one container's or sandbox's status; a missing one is said twice, as crictl's client library does."""
    try:
        return call(method, {key: name, "verbose": verbose})
    except RuntimeCallError as error:
        trace = f'"{method} from runtime service failed" err={quote(str(error))} {what}={quote(name)}'
        raise Failure(str(error), trace=klog("remote_runtime.go:569", trace)) from None


def _print_inspected(status: dict[str, Any], info: dict[str, str], times: tuple[str, ...]) -> None:
    for key in times:
        status[key] = rfc3339(int(status[key]))
    print_json({"info": json.loads(info["info"]), "status": status}, sort=True)


def inspect_container(options: argparse.Namespace) -> None:
    """Crictl inspect."""
    try:
        answer = _status("ContainerStatus", "containerId", options.id, "containerID")
    except Failure as failure:
        raise Failure(f"get the status of containers: get container status: {failure}", trace=failure.trace) from None
    # The real one knows a field that containerd 1.6 never sends and prints it as null.
    answer["status"]["user"] = None
    _print_inspected(answer["status"], answer["info"], ("createdAt", "startedAt", "finishedAt"))


def inspect_pod(options: argparse.Namespace) -> None:
    """Crictl inspectp."""
    try:
        answer = _status("PodSandboxStatus", "podSandboxId", options.id, "podSandboxID")
    except Failure as failure:
        raise Failure(f"get the status of pod sandboxes: {failure}", trace=failure.trace) from None
    _print_inspected(answer["status"], answer["info"], ("createdAt",))


def inspect_image(options: argparse.Namespace) -> None:
    """Crictl inspecti."""
    try:
        answer = call("ImageStatus", {"image": {"image": options.id}, "verbose": True})
    except RuntimeCallError as error:
        raise Failure(f"get image status: {error}") from None
    if "image" not in answer:
        raise Failure(f"get the status of images: no such image {quote(options.id)} present")
    _print_inspected(answer["image"], answer["info"], ())


def print_logs(options: argparse.Namespace) -> None:
    """Crictl logs: read the CRI log file, each stream to its own; `time stream P|F text` a line, P = goes on."""
    status = _status("ContainerStatus", "containerId", options.id, "containerID", verbose=False)["status"]
    try:
        with open(status["logPath"], "rb") as log:  # noqa: PTH123 - importing pathlib costs a quick program 10 ms
            lines = log.readlines()
    except OSError as error:
        raise Failure(
            f"failed to try resolving symlinks in path {quote(status['logPath'])}: {error.strerror}"
        ) from None
    for line in lines if options.tail < 0 else lines[len(lines) - min(options.tail, len(lines)) :]:
        _, stream, tag, text = line.split(b" ", 3)
        output = sys.stderr.buffer if stream == b"stderr" else sys.stdout.buffer
        output.write(text.rstrip(b"\n") if tag == b"P" else text)


def pull(options: argparse.Namespace) -> None:
    """Crictl pull."""
    try:
        answer = call("PullImage", {"image": {"image": options.image}}, timeout=PULL_TIMEOUT)
    except RuntimeCallError as error:
        trace = f'"PullImage from image service failed" err={quote(str(error))} image={quote(options.image)}'
        raise Failure(f"pulling image: {error.description}", trace=klog("remote_image.go:250", trace)) from None
    say(f"Image is up to date for {answer['imageRef']}")


def execute(options: argparse.Namespace) -> None:
    """Crictl exec, without stdin: whatever the command's exit code, crictl's own is 1."""
    request = {"containerId": options.id, "cmd": options.cmd, "timeout": options.exec_timeout}
    prefix = f"execing command in container {options.id}: "
    try:
        answer = call("ExecSync", request, timeout=options.exec_timeout + 5)
    except RuntimeCallError as error:
        if error.code == "NotFound":
            # ExecSync says what it was doing before the reason; the streaming exec of the real crictl does not.
            error = RuntimeCallError(error.code, error.description.removeprefix("failed to exec in container: "))
            command = json.dumps(options.cmd, separators=(",", ":"))
            trace = (
                f'"Exec cmd from runtime service failed" err={quote(str(error))} '
                f"containerID={quote(options.id)} cmd={command}"
            )
            raise Failure(f"{prefix}{error}", trace=klog("remote_runtime.go:672", trace)) from None
        internal = "Internal error occurred: error executing command in container: "
        raise Failure(f"{prefix}{internal}{error.description}") from None
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        stream.buffer.write(base64.b64decode(answer[name]))
        stream.flush()
    if answer["exitCode"] != 0:
        raise Failure(f"{prefix}command terminated with exit code {answer['exitCode']}")


def print_version(_: argparse.Namespace) -> None:
    """Crictl version."""
    answer = call("Version")
    say(f"Version:  {answer['version']}")
    say(f"RuntimeName:  {answer['runtimeName']}")
    say(f"RuntimeVersion:  {answer['runtimeVersion']}")
    say(f"RuntimeApiVersion:  {answer['runtimeApiVersion']}")


def print_info(_: argparse.Namespace) -> None:
    """Crictl info: the runtime's condition and what it says of its configuration."""
    answer = call("Status", {"verbose": True})
    info: dict[str, Any] = {"status": answer["status"]}
    # golang and lastCNILoadStatus* are plain text (containerd 1.6), the others JSON.
    info.update({key: json.loads(value) if value[:1] in '{["' else value for key, value in answer["info"].items()})
    print_json(info, sort=True)


def main() -> None:
    """Run one command; exit code 1 and a logfmt line on stderr when it fails."""
    options = parser().parse_args()
    try:
        check_runtime()
        options.action(options)
    except Failure as failure:
        if failure.trace:
            sys.stderr.write(f"{failure.trace}\n")
        sys.exit(fatal(str(failure)))
    except RuntimeCallError as error:
        sys.exit(fatal(str(error)))
