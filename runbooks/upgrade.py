"""Change the version of etcd, one member at a time, with a snapshot before and a way back.

python runbooks/upgrade.py --to 3.5.30-0 --dry-run
python runbooks/upgrade.py --to 3.5.30-0 --pause
"""

from nornir_etcd import Report, upgrade
from nornir_etcd.options import UpgradeOptions, script


def main(options: UpgradeOptions) -> Report:
    """Change the version of etcd, one member at a time, with a snapshot before and a way back."""
    with options.nornir() as nr:
        return upgrade(nr, **options.arguments(nr), dry_run=options.dry_run, accept_downtime=options.accept_downtime)


if __name__ == "__main__":
    script(main, UpgradeOptions)
