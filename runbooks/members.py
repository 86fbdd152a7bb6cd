"""Bring the live members to those of the inventory: grow, shrink, replace, repair, re-address.

python runbooks/members.py --dry-run
python runbooks/members.py --accept-no-margin
"""

from nornir_etcd import Report, members_apply
from nornir_etcd.options import MembersOptions, script


def main(options: MembersOptions) -> Report:
    """Bring the live members to those of the inventory, one safe change at a time."""
    with options.nornir() as nr:
        return members_apply(nr, **options.arguments(nr), dry_run=options.dry_run)


if __name__ == "__main__":
    script(main, MembersOptions)
