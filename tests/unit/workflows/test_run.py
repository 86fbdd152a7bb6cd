"""What an operator has agreed to."""

from __future__ import annotations

import pytest

from nornir_etcd.plan.step import Consent
from nornir_etcd.workflows.run import NOTHING_AGREED, Agreed

NO_MARGIN = Consent("no-margin", "example", "one more failure would stop the cluster at m2: add-learner")
REPAIR = Consent("repair", "master-3", "the data of member 3 are lost: it is removed and starts anew as a learner")


def test_what_was_not_agreed_to_is_refused_with_the_option_that_says_it() -> None:
    assert NOTHING_AGREED.refusal(NO_MARGIN) == (
        "example: one more failure would stop the cluster at m2: add-learner; say --accept-no-margin if that is meant"
    )
    assert NOTHING_AGREED.refusal(REPAIR) == (f"master-3: {REPAIR.text}; say --yes if that is meant")


def test_each_consent_is_for_its_own_kind_alone() -> None:
    assert Agreed(no_margin=True).refusal(NO_MARGIN) is None
    assert Agreed(no_margin=True).refusal(REPAIR)
    assert Agreed(repair=True).refusal(REPAIR) is None
    assert Agreed(repair=True).refusal(NO_MARGIN)


@pytest.mark.parametrize("answer", [True, False])
def test_a_repair_is_asked_for_and_a_lack_of_margin_is_not(*, answer: bool) -> None:
    """That one is said beforehand: nobody sees what hangs on it from a question in the midst of a run."""
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return answer

    agreed = Agreed(ask=ask)
    assert (agreed.refusal(REPAIR) is None) is answer
    assert agreed.refusal(NO_MARGIN)
    assert asked == [f"master-3: {REPAIR.text}"]


def test_what_was_said_beforehand_is_not_asked_for() -> None:
    def ask(question: str) -> bool:
        raise AssertionError(question)

    assert Agreed(no_margin=True, repair=True, ask=ask).refusal(REPAIR) is None
