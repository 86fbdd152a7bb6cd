"""Variables with data that nobody thought of."""

from __future__ import annotations

import datetime as dt

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nornir_etcd.cluster import Cluster, load_clusters
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import HostVariables, Settings
from nornir_etcd.settings.variables import near_miss

NAMES = tuple(Settings.model_fields)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.dates(min_value=dt.date(1900, 1, 1))
    | st.sampled_from(
        ["{{ deploy_name }}", "{{ a }}", "{{ b }}", "{{", "{{ a.b[0] }}", "a\ud800", "1.2.3", "::1", "/x"]
    )
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from([*NAMES, "a", "b", "etcd_verison"]) | st.text(max_size=8) | st.integers()
layers = st.dictionaries(keys, anything, max_size=6) | anything
host_names = st.sampled_from(["m1", "m2", "M1", "m 1"]) | st.text(max_size=5)


@given(
    names=st.lists(host_names, max_size=4, unique=True),
    hostname=st.none() | st.sampled_from(["10.0.0.1", "::1", "a.b"]) | st.text(max_size=8),
    own=layers,
    group=layers,
    overrides=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), st.text(max_size=12), max_size=2),
)
@example(names=["m1"], hostname=None, own={"deploy_name": 10**5000}, group={}, overrides={})
@settings(max_examples=400, deadline=None)
def test_any_inventory_is_loaded_or_refused_in_lines(
    names: list[str], hostname: str | None, own: object, group: object, overrides: dict[str, str]
) -> None:
    hosts = [
        HostVariables(name, hostname if number == 0 else None, ((f"host {name}", own), ("group etcd", group)))
        for number, name in enumerate(names)
    ]
    lines: tuple[str, ...] = ()
    try:
        clusters, warnings = load_clusters(hosts, overrides)
    except InventoryError as error:
        lines = error.problems or ("",)
    else:
        assert all(isinstance(cluster, Cluster) for cluster in clusters)
        lines = warnings
    assert all(line.strip() and line.isprintable() for line in lines)
    assert len(lines) == len(set(lines))


WORDS = """kubernetes mirror backup proxy host cache node user cluster master worker api server port path url log file
mount disk network pod service dns ntp time zone region rack env stage vault token secret team owner"""


@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=4).map("_".join))
def test_unrelated_words_never_alarm(name: str) -> None:
    assert near_miss(name, NAMES) == ""


@given(st.sampled_from(NAMES), st.data())
def test_two_letters_swapped_always_alarm(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 2))
    swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if swapped == name or "_" in name[at : at + 2] or len(name) < len("registry"):
        return
    assert near_miss(swapped, NAMES) == name
