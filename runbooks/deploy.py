"""Bring every cluster to what the inventory asks for: certificates, static Pods, verification.

python runbooks/deploy.py --dry-run
python runbooks/deploy.py --filter deploy_name=example --output report.json
"""

from nornir_etcd import Report, deploy
from nornir_etcd.options import DeployOptions, script


def main(options: DeployOptions) -> Report:
    """Bring every cluster to what the inventory asks for."""
    with options.nornir() as nr:
        return deploy(nr, **options.arguments(nr), dry_run=options.dry_run, accept_downtime=options.accept_downtime)


if __name__ == "__main__":
    script(main, DeployOptions)
