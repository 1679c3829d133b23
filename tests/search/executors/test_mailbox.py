from slimtune.search.executors.mailbox import Mailbox
from slimtune.search.trial.spec import Outcome


def mailbox():
    return Mailbox(["reference"], {"key": {"stage.json": b"{}"}}.get)


def test_an_outcome_is_handed_over_once_and_ends_the_news_of_its_trial():
    box = mailbox()
    box.enter_phase(3, "prune")
    box.enter_phase(4, "train")
    box.put(3, Outcome(3, "complete"))
    assert box.phases() == {4: "train"}
    assert box.take(3) == Outcome(3, "complete") and box.take(3) is None


def test_a_report_counts_until_the_next_one():
    box = mailbox()
    box.report(3, "first", Outcome(3, "stopped", rung="a"))
    box.report(3, "second", Outcome(3, "stopped", rung="b"))
    assert box.read(3, "first") is None and box.read(3, "second").rung == "b"
    assert box.read(9, "second") is None


def test_inputs_and_stored_entries_are_looked_up():
    assert mailbox().inputs() == ["reference"]
    assert mailbox().fetch_entry("key") == {"stage.json": b"{}"}
    assert mailbox().fetch_entry("other") is None
