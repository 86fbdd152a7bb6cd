"""Run a program of the machine, or say in one line why it failed."""

from __future__ import annotations

import subprocess

from nornir_etcd.lab.error import LabError


def run(*argv: str, stdin: str | None = None, cwd: str | None = None, timeout: float = 60) -> str:
    """Run a command.

    Args:
        argv: the command and its arguments.
        stdin: text for its standard input.
        cwd: directory to run it in.
        timeout: seconds.

    Returns:
        Its standard output.

    Raises:
        LabError: it is not installed, failed, or took too long.
    """
    try:
        done = subprocess.run(
            argv, input=stdin, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        raise LabError(f"lab: {argv[0]}: not installed; .ci/packages installs what the lab needs") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"lab: {' '.join(argv[:3])}: not done after {timeout:.0f} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise LabError(f"lab: {' '.join(argv[:3])}: exit code {done.returncode}: {'; '.join(last)}")
    return done.stdout
