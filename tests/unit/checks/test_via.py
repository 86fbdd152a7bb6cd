"""What could not be asked through SSH is unknown; a member that does not answer the controller itself is critical."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nornir_etcd.checks import consensus, reachability
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.observation import EndpointObservation, Unknown
from nornir_etcd.report.members import member_reports, road_notes
from nornir_etcd.report.model import Severity
from tests.unit.builders import NOW, deployed

WHY = Unknown("no answer")


def found(via: Literal["direct", "ssh"]) -> dict[str, Severity]:
    """Return the severity of each finding about a member of which nothing could be read."""
    world = deployed(3)
    observation = world.observe()
    silent = EndpointObservation(*(8 * [WHY]), blind=WHY, via=via)
    seen = evidence(
        world.cluster, replace(observation, endpoints=observation.endpoints | {"master-1": silent}), {}, NOW
    )
    findings = [*reachability.check(seen), *consensus.check(seen)]
    return {finding.code: finding.severity for finding in findings if finding.subject == "master-1"}


def test_a_member_that_does_not_answer_the_controller_is_critical() -> None:
    severities = found("direct")
    assert {severities[code] for code in ("client.unreachable", "peer.unreachable", "member.unhealthy")} == {
        Severity.CRITICAL
    }


def test_a_member_that_the_host_did_not_look_at_is_unknown() -> None:
    severities = found("ssh")
    assert {severities[code] for code in ("client.unreachable", "peer.unreachable", "member.unhealthy")} == {
        Severity.UNKNOWN
    }


def test_the_report_names_who_was_asked_through_ssh() -> None:
    world = deployed(3)
    observation = world.observe()
    assert road_notes(observation) == []
    through = {
        name: replace(endpoint, via="ssh") for name, endpoint in observation.endpoints.items() if name != "master-2"
    }
    (note,) = road_notes(replace(observation, endpoints=observation.endpoints | through))
    assert "master-1, master-3" in note


def test_the_health_of_a_member_that_could_not_be_asked_is_not_known() -> None:
    world = deployed(3)
    observation = world.observe()
    silent = EndpointObservation(*(8 * [WHY]), blind=WHY, via="ssh")
    seen = replace(observation, endpoints=observation.endpoints | {"master-1": silent})
    rows = member_reports(world.cluster, seen, changed=(), now=NOW)
    assert [row.healthy for row in rows] == [None, True, True]
