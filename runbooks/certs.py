"""Issue the certificates that are due and place them on their hosts. No member is restarted.

python runbooks/certs.py --dry-run
python runbooks/certs.py --hosts master-1
"""

from nornir_etcd import Report, certs
from nornir_etcd.options import Options, script


def main(options: Options) -> Report:
    """Issue the certificates that are due and place them on their hosts."""
    with options.nornir() as nr:
        return certs(nr, **options.arguments(nr), dry_run=options.dry_run)


if __name__ == "__main__":
    script(main)
