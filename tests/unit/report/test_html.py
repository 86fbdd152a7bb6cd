"""The report as one HTML page, and its parts in a notebook."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import unicodedata
from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.report import figures
from nornir_etcd.report.attributes import CRITICAL_DAYS, QUOTA_PERCENT, RENEW_DAYS, attributes, days_tone
from nornir_etcd.report.console import harmless
from nornir_etcd.report.html import Mesh, to_html
from nornir_etcd.report.model import ClusterReport, Link, MemberReport, Outcome, Report, Severity, Waiver
from nornir_etcd.report.summary import summary_line
from nornir_etcd.report.timeline import LEAST_WIDTH, timeline
from nornir_etcd.settings import Settings
from tests.unit.report import pages, samples

ALL = samples.SAMPLES | {f"page_{name}": made for name, made in pages.PAGES.items()}
EVERY = pytest.mark.parametrize("sample", ALL.values(), ids=ALL)
VOID = {"meta", "link", "input", "br", "rect"}
EMPTY_FOR = {"a", "span", "p", "div"}


class Read(HTMLParser):
    """What a page holds: its tags with their attributes, its text, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag}: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def policy(page: Read) -> dict[str, str]:
    """Return the directives of the page's own policy."""
    (said,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert said
    return dict(part.strip().split(" ", 1) for part in said.split(";"))


@EVERY
def test_the_page_needs_nothing_but_itself(sample: samples.Maker) -> None:
    page = Read(to_html(sample()))
    for tag, given_ in page.tags:
        for name, value in given_.items():
            assert not name.startswith("on"), tag
            assert name not in ("style", "src", "srcset", "action", "formaction", "background", "poster"), tag
            if name in ("href", "xlink:href"):
                assert str(value).startswith(("#", "data:image/svg+xml,"))
    assert not re.search(r"url\(|@import|//|http", page.raw["style"])
    assert not re.search(r"fetch\(|XMLHttp|import\(|innerHTML|eval\(|document\.write", page.raw["script"])


@EVERY
def test_the_policy_lets_run_the_page_s_own_script_and_style_alone(sample: samples.Maker) -> None:
    page = Read(to_html(sample()))
    said = policy(page)
    assert said["default-src"] == "'none'"
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        assert said[f"{kind}-src"] == f"'sha256-{digest}'"
        assert len(page.all(kind)) == 1
    assert [tag for tag, _ in page.tags].index("style") > 1, "the policy comes first"


@EVERY
def test_every_fact_is_on_the_page(sample: samples.Maker) -> None:
    report = sample()
    text = Read(to_html(report)).text

    def told(words: str) -> bool:
        return " ".join(clean(words).split()) in text

    for cluster in report.clusters:
        assert all(told(words) for words in (cluster.name, cluster.error, *cluster.refusals, *cluster.notes))
        for member in cluster.members:
            assert all(told(one) for one in (member.name, member.address, member.version, member.hash, *member.alarms))
            assert all(told(one.serial) and told(one.subject) for one in member.certificates)
        for step in cluster.plan:
            assert all(told(one) for one in (step.action, step.reason, step.margin, step.proof, step.undo, step.error))
            assert all(told(line) for line in (*step.diff.splitlines(), *step.log))
        for finding in cluster.findings:
            assert all(told(one) for one in (finding.code, finding.subject, finding.message, finding.remedy))
            assert finding.waiver is None or told(finding.waiver.reason)
            assert all(told(name) for name in finding.evidence)
    assert all(told(warning) for warning in report.warnings)


@EVERY
def test_the_page_ends_with_the_summary_line(sample: samples.Maker) -> None:
    report = sample()
    page = to_html(report)
    footer = Read(page[page.index("<footer>") : page.index("</footer>") + len("</footer>")]).text
    assert footer.startswith(" ".join(clean(summary_line(report)).split()))
    assert f"exit code {report.exit_code}:" in footer


def clean(text: str) -> str:
    """Return a text as the page writes it."""
    return harmless(text).encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("draw", [to_html, Report._repr_html_], ids=["page", "notebook"])
def test_hostile_text_stays_text(draw: Any) -> None:
    text = draw(pages.hostile())
    page = Read(text)
    assert not page.all("img")
    assert not any("onerror" in given_ for _, given_ in page.tags)
    assert "{{ 7*7 }}" in page.text, "it is no template either"
    assert page.text.count("</script><script>alert(1)</script><img src=x onerror=alert(1)>") > 15
    assert "\\x1b[2J" in page.text
    assert "\\u202e" in page.text
    harmful = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\n"}
    assert not harmful
    text.encode()


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_any_text_comes_back_as_it_was_or_written_out(words: str) -> None:
    found = samples.finding("a.code", Severity.WARNING, words, "message")
    text = found._repr_html_()
    cell = re.search('<td class="host">(.*?)</td>', text, re.DOTALL)
    assert cell
    assert html.unescape(cell[1]) == clean(words)
    Read(text)


@EVERY
def test_every_heading_of_a_table_says_what_it_heads(sample: samples.Maker) -> None:
    page = Read(to_html(sample()))
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    assert all("aria-label" in one or "aria-labelledby" in one for one in page.all("section"))
    names = [one["id"] for _, one in page.tags if "id" in one]
    assert len(set(names)) == len(names)
    assert {str(one["href"])[1:] for one in page.all("a")} <= set(names)


def test_every_state_of_a_way_has_a_sign_and_a_title_of_its_own() -> None:
    text = to_html(pages.everything())
    page = Read(text)
    titles = [str(one["title"]) for one in page.all("span") if "sign" in str(one.get("class")) and "title" in one]
    signs = dict(re.findall(r'title="[^"]*: (open|refused|silent|unknown)[^"]*"><span aria-hidden="true">(.)<', text))
    assert sorted(signs) == ["open", "refused", "silent", "unknown"]
    assert len(set(signs.values())) == 4
    assert "master-3 to master-2: unknown: no nc and no bash on the host" in titles
    assert len(titles) == 9


def test_the_mesh_has_the_controller_first_and_a_hole_where_nothing_was_asked() -> None:
    links = [Link(source=one, target=two, state="open") for one, two in (("b", "a"), ("controller", "b"), ("a", "b"))]
    mesh = Mesh(links)
    assert mesh.sources == ["controller", "b", "a"]
    assert mesh.targets == ["b", "a"]
    assert mesh.at("controller", "a") is None
    assert mesh.at("b", "a") == links[0]


def test_a_waived_finding_is_dimmed_and_tells_why_and_until_when() -> None:
    page = to_html(pages.everything())
    (row,) = re.findall(r'<tr class="waived".*?</tr>', page, re.DOTALL)
    assert 'data-severity="waived"' in row
    assert "waived until 2027-03-31: the vendor certifies" in row


def test_the_worst_findings_come_first_and_the_waived_ones_before_those_that_are_ok() -> None:
    worst = samples.finding("a.a", Severity.CRITICAL, "x", "m")
    waived = worst.model_copy(update={"waiver": Waiver(reason="known", until=date(2027, 1, 1))})
    findings = [
        samples.finding("a.b", Severity.OK, "x", "m"),
        waived,
        samples.finding("a.c", Severity.WARNING, "x", "m"),
        worst,
        samples.finding("a.d", Severity.UNKNOWN, "x", "m"),
    ]
    page = to_html(
        samples.report("verify", ClusterReport(name="c", outcome=Outcome.CHECKED, members=[], findings=findings))
    )
    assert re.findall(r'<tr[^>]* data-severity="(\w+)"', page) == ["critical", "unknown", "warning", "waived", "ok"]


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (samples.second_deploy, "✓ all checks passed exit code 0"),
        (samples.dry_run, "· 3 steps planned exit code 0"),
        (samples.failed_step, "✗ a step failed or was refused exit code 3"),
        (samples.findings_of_each_severity, "✗ critical findings exit code 1"),
        (lambda: samples.report("verify"), "· no checks were made exit code 0"),
    ],
)
def test_the_verdict_says_what_the_run_came_to(made: samples.Maker, verdict: str) -> None:
    assert verdict in Read(to_html(made())).text


def test_hosts_that_were_not_reached_are_counted_apart() -> None:
    assert "hosts not reached 3" in Read(to_html(pages.fleet())).text
    assert "hosts not reached" not in Read(to_html(samples.failed_step())).text


def test_of_many_clusters_those_with_nothing_to_look_at_are_folded() -> None:
    page = to_html(pages.fleet())
    opened = re.findall(r'<section class="cluster" id="cluster-(\d+)"[^>]*>\s*<details open>', page)
    assert opened == ["1", "6"], "the one in trouble, and the one that was not reached"
    assert len(re.findall(r'<section class="cluster"', page)) == 30
    assert page.count("<details open>") >= 2


def test_bars_of_the_timeline_lie_where_the_steps_were() -> None:
    steps = [
        samples.step("a", "x", "r", seconds=2.0).model_copy(update={"started_at": samples.STARTED}),
        samples.step("b", "y", "r", seconds=0.0),
        samples.step("a", "z", "r", seconds=6.0).model_copy(
            update={"started_at": samples.STARTED + timedelta(seconds=2)}
        ),
        samples.step("a", "w", "r", seconds=0.0).model_copy(
            update={"started_at": samples.STARTED + timedelta(seconds=8)}
        ),
    ]
    drawn = timeline(steps)
    assert drawn is not None
    assert drawn.total == "8.0 s"
    first, none, second, last = drawn.bars
    assert none is None
    assert first is not None
    assert second is not None
    assert last is not None
    assert (first.left, first.width) == (0, 25)
    assert (second.left, second.width) == (25, 75)
    assert (last.left, last.width) == (100 - LEAST_WIDTH, LEAST_WIDTH)
    assert second.words == "begun after 2.0 s, took 6.0 s"
    assert timeline([steps[1]]) is None


def test_times_without_a_zone_are_taken_for_utc() -> None:
    naive = samples.step("a", "x", "r", seconds=1.0).model_copy(
        update={"started_at": samples.STARTED.replace(tzinfo=None)}
    )
    aware = naive.model_copy(update={"started_at": samples.STARTED + timedelta(seconds=1)})
    drawn = timeline([naive, aware])
    assert drawn is not None
    assert drawn.total == "2.0 s"


def test_attributes_of_which_nothing_is_known_have_no_row() -> None:
    rows = attributes([samples.blank("a", "10.0.0.1"), samples.blank("b", "10.0.0.2")])
    assert [row.label for row in rows] == ["health", "SSH", "address"]


def test_members_that_ought_to_agree_and_do_not_are_marked() -> None:
    rows = {row.label: row for row in attributes(pages.everything().clusters[0].members)}
    assert {label for label, row in rows.items() if row.differs} == {"version", "hash of the data"}
    one, two = (pages.full_member(name, name, hash=name, hash_revision=at) for name, at in (("a", 1), ("b", 2)))
    assert not any(row.differs for row in attributes([one, two])), "hashes of different revisions may differ"


def test_every_field_of_a_member_has_its_place() -> None:
    """A field that the model gets later is not left out of the page for want of a thought."""
    full = pages.full_member("master-1", "10.0.0.1", alarms=["NOSPACE"], changed=True)
    blank = MemberReport(name="master-1", address="", ssh="no answer")
    beside = {"name", "certificates", "db_quota", "hash_revision", "disk_window_seconds"}
    for field in MemberReport.model_fields.keys() - beside:
        assert getattr(full, field) != getattr(blank, field)
        without = full.model_copy(update={field: getattr(blank, field)})
        assert attributes([without]) != attributes([full]), field


def test_thresholds_are_the_defaults_of_the_settings() -> None:
    fields = Settings.model_fields
    assert fields["etcd_renew_days"].default == RENEW_DAYS
    assert fields["etcd_cert_critical_days"].default == CRITICAL_DAYS
    assert fields["etcd_quota_warning_percent"].default == QUOTA_PERCENT


@pytest.mark.parametrize(
    ("days", "tone"), [(-1, "critical"), (6, "critical"), (7, "warning"), (29, "warning"), (30, "ok")]
)
def test_days_left_have_their_tone(days: int, tone: str) -> None:
    assert days_tone(days) == tone


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (20480, "20.0 KiB"),
        (2_147_483_648, "2.00 GiB"),
        (1 << 50, "1048576 GiB"),
    ],
)
def test_bytes_as_people_read_them(count: int, words: str) -> None:
    assert figures.size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.0031, "3.1 ms"),
        (0.25, "250 ms"),
        (-0.004, "-4.0 ms"),
        (2.64, "2.6 s"),
        (252, "4 min 12 s"),
        (-90, "-1 min 30 s"),
        (9000, "2.5 h"),
    ],
)
def test_time_spans_as_people_read_them(seconds: float, words: str) -> None:
    assert figures.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(364, "364 days"), (1, "1 day"), (0, "0 days"), (-1, "ended 1 day ago"), (-9, "ended 9 days ago")],
)
def test_days_as_people_read_them(count: int, words: str) -> None:
    assert figures.days(count) == words


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (datetime(2026, 11, 22, 13, 0, 0, 999999, tzinfo=timezone.utc), "2026-11-22 13:00:00 UTC"),
        (datetime(1, 1, 1), "0001-01-01 00:00:00 UTC"),  # noqa: DTZ001 - as JSON of others may have it
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2026-01-01 00:00:00 UTC+02:00"),
    ],
)
def test_a_time_is_told_to_the_second(when: datetime, words: str) -> None:
    assert figures.moment(when) == words


def parts(report: Report) -> list[str]:
    """Return what a notebook shows of the report and of each of its parts."""
    clusters = report.clusters
    steps = [step for cluster in clusters for step in cluster.plan]
    findings = [finding for cluster in clusters for finding in cluster.findings]
    return [one._repr_html_() for one in (report, *clusters, *steps[:20], *findings[:20])]


@EVERY
def test_a_notebook_gets_whole_fragments_that_run_nothing_and_style_nothing_else(sample: samples.Maker) -> None:
    for text in parts(sample()):
        page = Read(text)
        assert page.tags[0] == ("div", {"class": "nornir-etcd"})
        assert not page.all("script")
        style = re.sub(r"/\*.*?\*/", "", page.raw["style"], flags=re.DOTALL)
        assert all(rule.strip().startswith(".nornir-etcd") for rule in re.findall(r"([^{}]+)\{", style))
        assert not any("id" in given_ or "style" in given_ for _, given_ in page.tags)


def test_a_notebook_folds_what_is_ok_and_what_is_done() -> None:
    text = pages.everything()._repr_html_()
    above, _, below = text.partition("<summary>all that is known of the members</summary>")
    assert "compact and defragment every member" in above
    assert "does not answer a linearizable read" in above
    assert "answers over SSH" not in above
    assert "answers a linearizable read" in below
    assert "13 steps done" in below
    assert "the container crashes again and again" in above
