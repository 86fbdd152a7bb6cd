"""Check every cluster and change nothing.

python runbooks/verify.py
python runbooks/verify.py --check cert --output report.json --output report.html || echo "exit code $?"
"""

from nornir_etcd import Report, verify
from nornir_etcd.options import VerifyOptions, script


def main(options: VerifyOptions) -> Report:
    """Check every cluster and change nothing."""
    with options.nornir() as nr:
        return verify(nr, **options.arguments(nr))


if __name__ == "__main__":
    script(main, VerifyOptions)
