import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from slimtune.errors import NothingMatchesError, UserError
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.lock import RunLock
from slimtune.results.store.status import write_status
from slimtune.results.views.report.page import render, write_report
from slimtune.search.opened import Run, open_run
from tests.results.views.report.conftest import recipe, record

NAMES = ("accuracy", "size_bytes", "latency_ms")
EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text_with_unit, self.scripts = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.scripts += tag == "script"
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text_with_unit.append(data)


def trials(count=12, **changes):
    made = []
    for n in range(count):
        values = {"accuracy": 0.94 - n / 400, "size_bytes": 60_000.0 / (n + 1), "latency_ms": 0.5}
        one = recipe(
            "l1" if n % 3 else "none", 0.1 + n / 20, "gpfq" if n % 2 else "none", 3 + n % 3
        )
        made.append(record(n, objectives=values, recipe=one, **changes))
    return made


def figures(text):
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_the_page_holds_everything_and_points_nowhere(make_run):
    text = render(make_run(trials()))
    page = Page(text)
    assert page.addresses == ["data:,"]
    for heading in (
        "The front", "Members", "Hypervolume over the trials", "What decided each objective",
        "What each technique bought", "How it was measured", "What to type next",
    ):  # fmt: skip
        assert f"<h2>{heading}</h2>" in text
    assert len(figures(text)["front"]) == 2
    assert "Failed trials" not in text


def test_only_the_scripts_of_the_page_may_run(make_run):
    policy = re.search(
        r'http-equiv="Content-Security-Policy" content="([^"]*)"', render(make_run(trials()))
    )
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]+=*'", rules["script-src"])) == 2
    assert "unsafe" not in rules["script-src"]


def test_words_of_a_user_are_text_wherever_they_stand(make_run):
    records = trials(pipeline=EVIL)
    records.append(record(20, status="failed", objectives={}, metrics={}, error=EVIL))
    for one in records:
        one.recipe["student"]["model"] = EVIL + str(one.number % 2)
    run = make_run(
        records,
        name="<script>x",
        config={"data": EVIL, "model": EVIL},
        host={"cpu": EVIL, "torch": EVIL},
        limits={"size_bytes": 1e6},
        workload={"fingerprint": "f", "classes": [EVIL, "b"], "validation_source": EVIL},
    )
    text = render(run)
    assert Page(text).scripts == 3  # the data, plotly and the page's own
    assert "<script>alert" not in text and "<script>x" not in text
    assert "&lt;script&gt;alert(&#34;x&#34;)" in text
    members = figures(text)["front"][0]["data"][1]
    assert "<script>" not in json.dumps(members)


def test_two_objectives_make_a_page(make_run):
    records = [
        record(n, objectives={"accuracy": 0.9 - n / 100, "size_bytes": 1000.0 / (n + 1)})
        for n in range(3)
    ]
    text = render(make_run(records, ("accuracy", "size_bytes")))
    assert len(figures(text)["front"]) == 1
    assert "There are 3 complete trials; from 10 on" in text


def test_a_single_trial_makes_a_page(make_run):
    text = render(make_run([record(0)]))
    assert "<b>trial 0</b>" in text and "◆" in text


def test_a_run_of_failures_says_why_and_has_no_front(make_run):
    failed = [
        record(n, status="failed", objectives={}, metrics={}, error="diverged") for n in range(2)
    ]
    text = render(make_run(failed))
    assert "The front is empty" in text and "diverged" in text
    assert "<h2>The front</h2>" not in text and "<h2>Members</h2>" not in text
    assert figures(text)["front"] == []


def test_stopped_trials_are_counted_with_their_reason(make_run):
    stopped = record(
        9,
        status="stopped",
        objectives={"accuracy": 0.3},
        metrics={},
        error="cannot join the front",
    )
    text = render(make_run([record(0), stopped]))
    assert "2 trials: 1 complete, 1 stopped early" in text
    assert "Trials stopped early" in text and "cannot join the front" in text
    assert len(figures(text)["front"][0]["data"][0]["x"]) == 0


def test_a_run_that_goes_on_says_so_and_one_without_a_trial_has_no_report(make_run):
    run = make_run([record(0)])
    write_status(run.path, total=5)
    with RunLock(run.path):
        assert "1 of 5 trials: 1 complete; the search is still running" in render(run)
    assert "the search was interrupted before its end" in render(run)
    with pytest.raises(NothingMatchesError, match="no trial has finished yet"):
        render(make_run([], name="empty"))


def test_constraints_that_nothing_keeps_name_the_nearest_miss(make_run):
    text = render(make_run([record(0)], limits={"size_bytes": 1000.0}))
    assert "closest: trial 0 misses size by" in text


def test_latencies_measured_together_are_told(make_run):
    run = make_run([record(0)])
    rows = [JointRow(trial=n, test_accuracy=0.9, latency_ms=0.5) for n in (None, 0)]
    write_joint(run.path, rows)
    assert "were measured again together" in render(run)


def test_the_file_is_written_where_it_is_wanted(make_run, tmp_path):
    run = make_run([record(0)])
    opened = Run(run.folder)
    assert opened.report() == run.path / "report.html"
    assert opened.report(tmp_path / "other.html").read_text().startswith("<!doctype html>")
    with pytest.raises(UserError, match="parent folder does not exist"):
        write_report(run, tmp_path / "no" / "report.html")


def test_a_real_run_opens_in_a_browser_without_an_error_or_a_request(digits_run, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a Chromium")
    file = open_run(digits_run).report(tmp_path / "report.html")
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
        f"--log-net-log={tmp_path / 'net.json'}", "--virtual-time-budget=3000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stdout.count('class="main-svg"') >= 3  # the charts were drawn
    assert ":CONSOLE" not in done.stderr
    asked = set(
        re.findall(r'"url":"((?:https?|file|wss?)://[^"]*)"', (tmp_path / "net.json").read_text())
    )
    assert {address for address in asked if "report.html" not in address} == set() or all(
        "google" in address or "gvt1" in address
        for address in asked  # the browser's own errands
    )


def test_tables_that_may_be_wider_than_a_phone_have_a_cue(make_run):
    text = render(make_run([record(0), record(1)]))
    assert text.count('<div class="scroll"><div class="wide" tabindex="0"><table') >= 1
    assert text.count('class="wide"') == text.count('class="scroll"')
    assert "more columns: scroll" in text and 'classList.toggle("more"' in text
