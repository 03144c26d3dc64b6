"""What Evidently's page of a monitor shows of the data, and what no browser runs of it."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest

from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.execution import run_monitor
from aims_mlflow.monitors.evidently_columns import columns_to_show
from aims_mlflow.monitors.evidently_report import evidently_html
from aims_mlflow.monitors.summarise import summarise
from aims_mlflow.workspace import Workspace

END = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = Window(start=END - timedelta(days=1), end=END)
HOSTILE = (
    "</script><script>document.title='canary'</script><img src=x onerror=document.title='canary'>"
)
SYSTEM = """
id: loans
name: Loans
monitors:
  - id: drift
    kind: drift
    schedule: "0 6 * * *"
    current: current.parquet
    reference: reference.parquet
    timestamp: at
    key: [number]
    exclude: [ssn]
    evidently_report: %s
thresholds: [{id: share, metric: drift_share, max: %s}]
"""


def rows(n, seed=0):
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": draw.lognormal(0, 1, n),
            "channel": [HOSTILE] * (n // 2) + ["web"] * (n - n // 2),
            HOSTILE: draw.choice(["a & b", "<b>c</b>"], n),
            "name": ["Jane Roe"] * 4 + ["common"] * (n - 4),
            "ssn": [f"078-05-{i:04d}" for i in range(n)],
            "number": [f"N-{i:06d}" for i in range(n)],
            "note": [f"called on day {i} about the loan and said {'so ' * 100}" for i in range(n)],
            "at": [END - timedelta(hours=3)] * n,
        }
    )


@pytest.fixture
def project(tmp_path, monkeypatch, blank_store):
    (tmp_path / "governance" / "systems").mkdir(parents=True)
    rows(900).to_parquet(tmp_path / "reference.parquet")
    rows(700, 1).to_parquet(tmp_path / "current.parquet")
    monkeypatch.chdir(tmp_path)
    for name in ("AIMS_SYSTEM", "AIMS_PROFILE", "AIMS_LEDGER_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blank_store}")
    mlflow.set_tracking_uri(f"sqlite:///{blank_store}")
    return tmp_path


def executed(folder, choice, limit=0.9):
    """The execution, and the text of its Evidently page where it has one."""
    place = folder / "governance" / "systems" / "loans.yaml"
    place.write_text(SYSTEM % (choice, limit), "utf-8")
    workspace = Workspace()
    try:
        assert not workspace.profile.problems
        monitor = workspace.profile.systems["loans"].monitors[0]
        done = run_monitor(workspace, "loans", monitor, WINDOW, actor="ada", now=END)
    finally:
        workspace.close()
    client = mlflow.MlflowClient()
    names = [f.path for f in client.list_artifacts(done.run_id, "aims")]
    (page,) = [n for n in names if n.endswith("evidently.html")] or [None]
    if page is None:
        return done, None
    return done, Path(client.download_artifacts(done.run_id, page)).read_text("utf-8")


def title_in_a_browser(page, place):
    from playwright.sync_api import sync_playwright

    place.write_text(page, "utf-8")
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None and "CI" not in os.environ:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab = browser.new_page()
        tab.goto(place.as_uri())
        tab.wait_for_selector("text=channel", timeout=60_000)
        for opener in tab.query_selector_all("[aria-label='expand row']")[:5]:
            opener.click()
        tab.wait_for_timeout(1500)
        title, shown = tab.title(), tab.inner_text("body")
        browser.close()
    return title, shown


def test_the_page_of_a_monitor_shows_what_it_watches_and_runs_nothing(project):
    done, page = executed(project, "always")
    assert page is not None, done.report.notes
    hidden = ("078-05-", '"ssn"', "Jane Roe", "N-0000", "called on day")
    assert not [text for text in hidden if text in page]
    assert "<script>document.title" not in page
    assert "<img src=x" not in page
    assert '"income"' in page
    assert any("note" in n and "not in the Evidently report" in n for n in done.report.notes)
    title, shown = title_in_a_browser(page, project / "page.html")
    assert title != "canary"
    assert "‹/script›" in shown
    assert "ssn" not in shown


def test_a_page_with_markup_would_be_noticed(project):
    page = f'<html><title>x</title><body>channel <script>var a = "{HOSTILE}"</script></body></html>'
    title, _ = title_in_a_browser(page, project / "page.html")
    assert title == "canary"


@pytest.mark.parametrize(("choice", "limit"), [("never", 0.0), ("breach", 0.9), ("false", 0.0)])
def test_a_page_that_is_not_wanted_is_not_made(project, choice, limit):
    done, page = executed(project, choice, limit)
    assert done.report is not None
    assert page is None


def test_a_breach_has_its_page(project):
    shifted = rows(700, 1)
    shifted["income"] *= 9
    shifted.to_parquet(project / "current.parquet")
    done, page = executed(project, "breach", 0.01)
    assert done.exit_code == 1
    assert page is not None


def test_columns_without_counts_keys_and_times_are_not_shown():
    data = pl.from_pandas(rows(400))
    monitor = Monitor(
        kind="drift", schedule="0 6 * * *", key=("number",), timestamp="at", exclude=("ssn",)
    )
    summary = summarise(data)
    shown, notes = columns_to_show(summary, summary, monitor)
    assert shown == ["income", "channel", HOSTILE, "name"]
    assert notes == ["not in the Evidently report, because their values are not counted: note"]


def test_columns_that_look_alike_once_harmless_are_both_there():
    data = pl.DataFrame({"a<b": [1.0, 2.0, 3.0] * 20, "a‹b": [5.0, 6.0, 7.0] * 20})
    page = evidently_html(data, data).html
    assert page is not None
    assert r"a\u2039b (2)" in page.decode()


def test_a_name_at_which_polars_panics_is_a_note(tmp_path):
    data = pl.DataFrame({"a\x00b": [1.0, 2.0] * 20})
    made = evidently_html(data.lazy(), data.lazy())
    assert made.html is not None or made.note.startswith("no Evidently report: ")


def test_a_panic_is_a_note(monkeypatch):
    class PanicException(BaseException):
        pass

    def panic(*_a, **_k):
        raise PanicException("nul byte found")

    monkeypatch.setattr("aims_mlflow.monitors.evidently_report._write_sample", panic)
    data = pl.DataFrame({"a": [1.0]})
    made = evidently_html(data, data)
    assert made.html is None
    assert made.note == "no Evidently report: PanicException: nul byte found"
