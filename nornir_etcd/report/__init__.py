"""The report: one model, and one module per form it is drawn in."""

from nornir_etcd.report.model import (
    ClusterReport,
    Finding,
    MemberReport,
    Outcome,
    Report,
    Severity,
    StepReport,
    StepStatus,
)

__all__ = [
    "ClusterReport",
    "Finding",
    "MemberReport",
    "Outcome",
    "Report",
    "Severity",
    "StepReport",
    "StepStatus",
]
