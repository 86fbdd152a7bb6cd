"""The variables: names, defaults, meanings. A default may refer to other variables, as a value may."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nornir_etcd.settings import addresses, images, values, waivers

Name = Annotated[str, BeforeValidator(values.name)]
NodePath = Annotated[str, BeforeValidator(values.node_path)]
ControllerPath = Annotated[str, BeforeValidator(values.controller_path)]
Days = Annotated[int, BeforeValidator(values.whole_number(1, 36500, "days"))]
Seconds = Annotated[int, BeforeValidator(values.whole_number(1, 86400, "seconds"))]
KeyType = Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"]
Via = Literal["direct", "ssh", "auto"]
Preset = Literal["cfssl", "kubeadm"]
Signer = Literal["local", "cfssl"]
TlsVersion = Literal["TLS1.2", "TLS1.3"]

ADVISED_QUOTA = 8589934592
"""Bytes; etcd warns at start above it (https://etcd.io/docs/v3.5/dev-guide/limit/, "Storage size limit")."""


class Settings(BaseModel):
    """All variables of one host, resolved and checked. Made by load_settings; names and meanings are the role's."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    # The role's.
    etcd_deploy_mode: Annotated[Literal["manifest"], BeforeValidator(values.one_of("manifest"))] = Field(
        "manifest", description="How etcd is run: as a static Pod."
    )
    etcd_data_dir: NodePath = Field("/var/lib/etcd", description="Data directory on the host.")
    etcd_version: Annotated[str, BeforeValidator(values.version)] = Field(
        "3.5.16-0", description="Version of etcd, as the tag of its image."
    )
    kube_base_dir: NodePath = Field(
        "/etc/kubernetes", description="Kubernetes' folder on the host; static Pods stand in its folder manifests."
    )
    ca_dir: NodePath = Field("{{ kube_base_dir }}/pki", description="Where certificates live on the host.")
    registry: Annotated[str, BeforeValidator(images.registry)] = Field(
        "registry.ikubeops.local", description="Image registry, as host or host:port."
    )
    registry_project: Annotated[str, BeforeValidator(images.registry_project)] = Field(
        "ikubeops", description="Project in the registry."
    )
    etcd_image: Annotated[str, BeforeValidator(images.image)] = Field(
        "{{ registry }}/{{ registry_project }}/etcd:{{ etcd_version }}",
        description="Full image reference; its tag is etcd_version.",
    )
    container_runtime: Annotated[
        Literal["containerd", "docker"], BeforeValidator(values.one_of("containerd", "docker"))
    ] = Field("containerd", description="Container runtime of the host: containerd or docker.")
    etcd_initial_cluster: Annotated[str | None, BeforeValidator(addresses.initial_cluster)] = Field(
        None, description="Value of --initial-cluster; derived from the inventory where it is not set."
    )
    deploy_name: Name = Field("example", description="Name of the cluster: hosts that share it are its members.")
    generate_certs_dir: ControllerPath = Field(
        "certs/{{ deploy_name }}", description="Where certificates are kept on the controller."
    )
    cfssl_version: Annotated[str, BeforeValidator(values.plain_version)] = Field(
        "1.6.5", description="Version of cfssl, where it signs."
    )
    cfssl_dir: ControllerPath = Field(
        "{{ generate_certs_dir }}/cfssl",
        description="Where cfssl's tools are on the controller; where there is none, cfssl is looked for in PATH.",
    )

    # Whose files they are, and where verify finds them. Names and places of kubeadm:
    # https://kubernetes.io/docs/setup/best-practices/certificates/ ("Certificate paths").
    etcd_preset: Annotated[Preset, BeforeValidator(values.one_of("cfssl", "kubeadm"))] = Field(
        "cfssl",
        description="Whose names and places the files on the host have: cfssl (the role's, which deploy writes) or "
        "kubeadm (another tool's: verify alone works on them).",
    )
    etcd_pki_dir: NodePath = Field("{{ ca_dir }}/etcd", description="Folder of etcd's own certificates on the host.")
    etcd_server_certificate: NodePath = Field(
        "{{ etcd_pki_dir }}/{{ 'server.crt' if etcd_preset == 'kubeadm' else 'etcd.pem' }}",
        description="Certificate that the client port serves.",
    )
    etcd_server_key: NodePath = Field(
        "{{ etcd_pki_dir }}/{{ 'server.key' if etcd_preset == 'kubeadm' else 'etcd-key.pem' }}",
        description="Its private key: mode and owner alone are looked at.",
    )
    etcd_peer_certificate: NodePath = Field(
        "{{ etcd_pki_dir }}/{{ 'peer.crt' if etcd_preset == 'kubeadm' else 'etcd.pem' }}",
        description="Certificate that the peer port serves.",
    )
    etcd_peer_key: NodePath = Field(
        "{{ etcd_pki_dir }}/{{ 'peer.key' if etcd_preset == 'kubeadm' else 'etcd-key.pem' }}",
        description="Its private key: mode and owner alone are looked at.",
    )
    etcd_trusted_ca: NodePath = Field(
        "{{ etcd_pki_dir }}/{{ 'ca.crt' if etcd_preset == 'kubeadm' else 'ca.pem' }}",
        description="CA that etcd trusts its clients by.",
    )
    etcd_peer_trusted_ca: NodePath = Field("{{ etcd_trusted_ca }}", description="CA that etcd trusts its peers by.")
    etcd_general_ca: NodePath = Field(
        "{{ ca_dir }}/{{ 'ca.crt' if etcd_preset == 'kubeadm' else 'ca.pem' }}",
        description="CA of the Kubernetes cluster on the host.",
    )
    etcd_manifest_path: NodePath = Field(
        "{{ kube_base_dir }}/manifests/etcd.yaml", description="Manifest of the static Pod on the host."
    )
    etcd_apiserver_preset: Annotated[Preset, BeforeValidator(values.one_of("cfssl", "kubeadm"))] = Field(
        "{{ etcd_preset }}",  # type: ignore[arg-type]  # rendered before it is validated
        description="Whose names the client certificate of an API server on the host has: cfssl or kubeadm.",
    )
    etcd_apiserver_certificate: NodePath = Field(
        "{{ ca_dir }}/apiserver-etcd-client.{{ 'crt' if etcd_apiserver_preset == 'kubeadm' else 'pem' }}",
        description="Certificate that an API server on the host shows etcd.",
    )
    etcd_apiserver_key: NodePath = Field(
        "{{ ca_dir }}/apiserver-etcd-client{{ '.key' if etcd_apiserver_preset == 'kubeadm' else '-key.pem' }}",
        description="Its private key, which is never read.",
    )
    etcd_apiserver_manifest: NodePath = Field(
        "{{ kube_base_dir }}/manifests/kube-apiserver.yaml",
        description="Manifest of the static Pod of an API server on the host.",
    )

    # Ours.
    etcd_member: Annotated[Literal["present", "absent"], BeforeValidator(values.one_of("present", "absent"))] = Field(
        "present",
        description="Whether the host shall be a member: where it is absent, `members apply` removes the member and "
        "clears the host.",
    )
    etcd_address: Annotated[str, BeforeValidator(addresses.member_address)] = Field(
        description="Address at which clients and members reach this member; the host's hostname, else its name."
    )
    etcd_via: Annotated[Via, BeforeValidator(values.one_of("direct", "ssh", "auto"))] = Field(
        "auto",
        description="Road to etcd: direct, ssh (through the host's SSH session), or auto (ssh where "
        "the ports do not answer the controller).",
    )
    # Three elections of etcd's default (1 s) fit in.
    etcd_timeout: Seconds = Field(
        3, description="Seconds that a port or a member may take to answer one question of the controller."
    )
    etcd_initial_cluster_token: Name = Field("etcd-{{ deploy_name }}", description="Token of the cluster.")
    etcd_quota_backend_bytes: Annotated[int, BeforeValidator(values.whole_number(1048576, 2**63 - 1, "bytes"))] = Field(
        2147483648, description="Size in bytes at which etcd takes no more writes; at most 8 GiB is advised."
    )
    # Six WAL segments of 64 MiB (SegmentSizeBytes, https://github.com/etcd-io/etcd/blob/v3.5.16/server/storage/wal/wal.go;
    # --max-wals keeps 5, one is allocated ahead) and 128 MiB for snapshots.
    etcd_free_data_bytes: Annotated[int, BeforeValidator(values.whole_number(1, 2**63 - 1, "bytes"))] = Field(
        536870912, description="Bytes that must be free for the data directory when a member starts."
    )
    etcd_free_config_bytes: Annotated[int, BeforeValidator(values.whole_number(1, 2**63 - 1, "bytes"))] = Field(
        16777216, description="Bytes that must be free for ca_dir and kube_base_dir; etcd's files take some 20 kB."
    )
    etcd_snapshot_count: Annotated[int, BeforeValidator(values.whole_number(1, 2**63 - 1, "entries"))] = Field(
        10000, description="Committed entries after which a member snapshots its log."
    )
    etcd_heartbeat_interval: Annotated[int, BeforeValidator(values.whole_number(1, 10000, "milliseconds"))] = Field(
        100, description="Milliseconds between the leader's heartbeats."
    )
    # At most 50000 ms: maxElectionMs, https://github.com/etcd-io/etcd/blob/v3.5.16/server/embed/config.go
    etcd_election_timeout: Annotated[int, BeforeValidator(values.whole_number(5, 50000, "milliseconds"))] = Field(
        1000, description="Milliseconds without a heartbeat until an election; at least five heartbeats."
    )
    etcd_tls_min_version: Annotated[TlsVersion, BeforeValidator(values.one_of("TLS1.2", "TLS1.3"))] = Field(
        "TLS1.2", description="Least TLS version that etcd accepts."
    )
    etcd_extra_args: Annotated[dict[str, str], BeforeValidator(values.extra_flags)] = Field(
        {}, description="Further flags of etcd: name without dashes -> value. None that the manifest sets itself."
    )
    etcd_ca: Annotated[Literal["cluster", "dedicated"], BeforeValidator(values.one_of("cluster", "dedicated"))] = Field(
        "cluster",
        description="Which CA etcd trusts: the Kubernetes cluster's (the role's), or one of its own. On a cluster that "
        "is there, `certs rotate-ca` moves from the one to the other.",
    )
    etcd_extra_sans: Annotated[tuple[str, ...], BeforeValidator(addresses.subject_alternative_names)] = Field(
        (), description="Further IP addresses and DNS names for the member's certificate."
    )
    etcd_key_type: Annotated[
        KeyType, BeforeValidator(values.one_of("ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"))
    ] = Field("ecdsa-p256", description="Kind of key made for certificates.")
    etcd_cert_days: Days = Field(365, description="Days that a new certificate is valid.")
    etcd_ca_days: Days = Field(3650, description="Days that a new CA is valid.")
    etcd_renew_days: Days = Field(30, description="Days left below which a certificate is renewed.")
    cert_signer: Annotated[Signer, BeforeValidator(values.one_of("local", "cfssl"))] = Field(
        "local", description="What signs certificates: local (the program itself) or cfssl (on the controller)."
    )
    etcd_ca_passphrase_env: Annotated[str | None, BeforeValidator(values.environment_variable)] = Field(
        None, description="Environment variable of the controller that holds the passphrase of the CA's key."
    )
    etcd_ca_passphrase_file: Annotated[str | None, BeforeValidator(values.controller_file)] = Field(
        None, description="File on the controller (mode 0600) that holds the passphrase of the CA's key."
    )
    # kubeadm's budgets: 5 minutes for the new container (UpgradeManifestTimeout), 10 tries of 15 s for the cluster
    # (performEtcdStaticPodUpgrade), both in cmd/kubeadm/app/phases/upgrade/staticpods.go.
    etcd_start_timeout: Seconds = Field(300, description="Seconds that a new container may take to start.")
    etcd_health_timeout: Seconds = Field(150, description="Seconds that the cluster may take to be healthy.")
    # A snapshot holds every Secret of Kubernetes: hence a folder of its own that only its owner can read, and an end.
    etcd_snapshot_dir: ControllerPath = Field(
        "snapshots/{{ deploy_name }}", description="Where snapshots are kept on the controller."
    )
    etcd_snapshot_keep: Annotated[int, BeforeValidator(values.whole_number(1, 10000, "snapshots"))] = Field(
        7, description="Snapshots of a cluster that are kept: each new one that is whole removes the oldest beyond it."
    )
    etcd_snapshot_timeout: Seconds = Field(600, description="Seconds that a snapshot may take to arrive.")
    # Thresholds of verify.
    etcd_cert_critical_days: Days = Field(
        7, description="Days left below which a leaf is critical; a warning below etcd_renew_days."
    )
    etcd_ca_warning_days: Days = Field(365, description="Days left below which a CA is a warning.")
    etcd_ca_critical_days: Days = Field(30, description="Days left below which a CA is critical.")
    # https://etcd.io/docs/v3.5/faq/ ("What does the etcd warning ... mean"): p99 of wal_fsync below 10 ms, of
    # backend_commit below 25 ms.
    etcd_wal_fsync_warning_ms: Annotated[int, BeforeValidator(values.whole_number(1, 60000, "milliseconds"))] = Field(
        10, description="99th percentile of the WAL's fsync above which the disk is a warning."
    )
    etcd_backend_commit_warning_ms: Annotated[int, BeforeValidator(values.whole_number(1, 60000, "milliseconds"))] = (
        Field(25, description="99th percentile of the backend's commits above which the disk is a warning.")
    )
    etcd_metrics_window: Annotated[int, BeforeValidator(values.whole_number(0, 300, "seconds"))] = Field(
        0, description="Seconds between two scrapes of /metrics; 0: one scrape, which tells of all since the start."
    )
    etcd_read_warning_ms: Annotated[int, BeforeValidator(values.whole_number(1, 60000, "milliseconds"))] = Field(
        500, description="Milliseconds of a linearizable read above which it is a warning."
    )
    etcd_index_lag_warning: Annotated[int, BeforeValidator(values.whole_number(1, 2**63 - 1, "entries"))] = Field(
        1000, description="Entries that a member may be behind in its raft index, or in applying it."
    )
    etcd_leader_changes_warning: Annotated[int, BeforeValidator(values.whole_number(1, 1000000, "changes"))] = Field(
        10, description="Leader changes since a member's start, in a day on average, above which it is a warning."
    )
    etcd_quota_warning_percent: Annotated[int, BeforeValidator(values.whole_number(1, 100, "percent"))] = Field(
        80, description="Part of the quota above which the size of the database is a warning."
    )
    # https://etcd.io/docs/v3.5/op-guide/maintenance/ ("Defragmentation"); facts of the house: 200 MiB.
    etcd_fragmentation_warning_bytes: Annotated[int, BeforeValidator(values.whole_number(1, 2**63 - 1, "bytes"))] = (
        Field(209715200, description="Free bytes inside the database file above which defragmentation is advised.")
    )
    etcd_restarts_warning: Annotated[int, BeforeValidator(values.whole_number(1, 1000000, "restarts"))] = Field(
        3, description="Restarts of the container above which it is a warning."
    )
    etcd_waivers: Annotated[tuple[waivers.WaiverRule, ...], BeforeValidator(waivers.waivers)] = Field(
        (),
        description="Findings that are known and borne: code (or a pattern), subject (a member, the cluster or '*'), "
        "reason, and until (a date) of each. They no longer count.",
    )
    etcd_sudo_password_env: Annotated[str | None, BeforeValidator(values.environment_variable)] = Field(
        None, description="Environment variable of the controller that holds the password for sudo on the host."
    )
