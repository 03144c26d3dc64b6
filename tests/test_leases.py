"""Leases on windows, in both databases: one holder at a time, and what the log still knows."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aims_mlflow.errors import LeaseLostError
from aims_mlflow.evidence import Draft, EvidenceKind, Subject, SubjectType, normalise
from aims_mlflow.ledger.log import Ledger, Sealing
from aims_mlflow.ledger.verify import verify
from aims_mlflow.ledger.windows import Claim, WindowClaims, WindowState
from aims_mlflow.monitored import Window

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
LEASE = timedelta(minutes=5)


def window(day: int) -> Window:
    end = datetime(2026, 11, day, 6, tzinfo=UTC)
    return Window(start=end - timedelta(days=1), end=end)


@pytest.fixture
def claims(ledger: Ledger) -> WindowClaims:
    return WindowClaims(ledger.database)


def take(claims: WindowClaims, day: int = 23, holder: str = "a", now: datetime = NOW) -> Claim:
    claim = try_to_take(claims, day, holder, now)
    assert claim is not None
    return claim


def try_to_take(
    claims: WindowClaims, day: int = 23, holder: str = "b", now: datetime = NOW
) -> Claim | None:
    return claims.claim("credit", "drift", window(day), holder=holder, lease=LEASE, now=now)


def report(day: int = 23, kind: EvidenceKind = EvidenceKind.DRIFT_REPORT, **body: Any) -> Sealing:
    found, _ = normalise(
        {"monitor": "drift", "window": window(day).model_dump(mode="json"), "verdict": "PASS"}
        | body
    )
    subject = Subject(type=SubjectType.SYSTEM, id="credit", run_id=f"run-{day}-{len(body)}")
    draft = Draft(
        kind=kind, system="credit", subject=subject, event_time=window(day).end, body=found
    )
    return Sealing(
        draft=draft,
        version=1,
        supersedes=None,
        artifacts=(),
        actor="ada",
        source="test",
        capture_time=NOW,
    )


def finish(ledger: Ledger, claim: Claim) -> None:
    ledger.append(
        [report(claim.window.end.day)],
        within=lambda c: WindowClaims.finish(c, claim, "PASS", "run-1"),
    )


def latest(claims: WindowClaims, until: datetime = NOW, scheduled: bool = True):
    return claims.latest("credit", "drift", until=until, scheduled=lambda _: scheduled)


def test_a_window_has_one_holder_at_a_time(claims: WindowClaims):
    claim = take(claims)
    assert claim.attempts == 1
    assert try_to_take(claims) is None
    assert claims.open("credit", "drift", now=NOW) == ()
    assert claims.claim("credit", "other", window(23), holder="b", lease=LEASE, now=NOW)


def test_of_many_threads_that_want_a_window_one_gets_it(claims: WindowClaims):
    got: list[Claim | None] = []
    threads = [threading.Thread(target=lambda: got.append(try_to_take(claims))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 12
    assert sum(claim is not None for claim in got) == 1


def test_what_is_judged_stays_judged(ledger: Ledger, claims: WindowClaims):
    finish(ledger, take(claims))
    assert try_to_take(claims, now=NOW + timedelta(days=9)) is None
    (row,) = claims.rows("credit")
    assert (row.state, row.verdict, row.run_id) == (WindowState.DONE, "PASS", "run-1")


def test_an_expired_lease_is_taken_over_and_the_stale_runner_seals_nothing(
    ledger: Ledger, claims: WindowClaims
):
    stale = take(claims)
    later = NOW + LEASE
    assert [row.window for row in claims.open("credit", "drift", now=later)] == [window(23)]
    fresh = take(claims, holder="b", now=later)
    assert fresh.attempts == 2
    with pytest.raises(LeaseLostError, match="took over the window of monitor 'drift'"):
        claims.renew(stale, now=later)
    with pytest.raises(LeaseLostError):
        finish(ledger, stale)
    with pytest.raises(LeaseLostError):
        claims.fail(stale, "too late")
    assert ledger.head().size == 0
    finish(ledger, fresh)
    assert ledger.head().size == 1
    assert verify(ledger).problems == ()


def test_an_expired_lease_that_nobody_wanted_can_still_be_finished(
    ledger: Ledger, claims: WindowClaims
):
    claim = claims.renew(take(claims), now=NOW + 9 * LEASE)
    assert claim.expires_at == NOW + 10 * LEASE
    finish(ledger, claim)
    with pytest.raises(LeaseLostError):
        finish(ledger, claim)
    assert ledger.head().size == 1


def test_a_failed_attempt_is_released_and_says_why(claims: WindowClaims):
    claims.fail(take(claims), "no such bucket\0" + "x" * 5000)
    (row,) = claims.open("credit", "drift", now=NOW)
    assert row.problem is not None and row.problem.startswith("no such bucket")
    assert len(row.problem) == 2000
    assert take(claims, holder="b").attempts == 2


def test_a_window_that_is_given_up_is_given_up_with_its_gap_or_not_at_all(
    ledger: Ledger, claims: WindowClaims
):
    claim = take(claims)
    gap = report(kind=EvidenceKind.GAP)
    ledger.append([gap], within=lambda c: WindowClaims.give_up(c, claim, "gone"))
    assert claims.rows("credit")[0].state is WindowState.FAILED
    assert try_to_take(claims, now=NOW + timedelta(days=9)) is None
    with pytest.raises(LeaseLostError):
        ledger.append([report(22)], within=lambda c: WindowClaims.give_up(c, claim, "again"))
    assert ledger.head().size == 1


def test_missed_windows_are_marked_all_or_none(ledger: Ledger, claims: WindowClaims):
    days = [window(day) for day in (18, 19, 20)]
    take(claims, 19)
    with pytest.raises(LeaseLostError):
        ledger.append(
            [report(kind=EvidenceKind.GAP)],
            within=lambda c: WindowClaims.miss(c, "credit", "drift", days),
        )
    assert ledger.head().size == 0
    with ledger.database.writing() as connection:
        WindowClaims.miss(connection, "credit", "drift", days[2:])
    assert try_to_take(claims, 20) is None
    assert [row.state for row in claims.rows("credit")] == ["claimed", "missed"]


def test_the_latest_window_is_known_and_one_of_a_clock_that_went_ahead_is_not(claims: WindowClaims):
    assert latest(claims) is None
    take(claims, 22)
    take(claims, 23)
    take(claims, 28)
    assert latest(claims).window == window(23)


def test_what_the_table_forgot_is_read_from_the_log(ledger: Ledger, claims: WindowClaims):
    ledger.append([report(22), report(23), report(21, EvidenceKind.GAP, windows=3)])
    ledger.append([report(20, monitor="other"), report(24, monitor="other")])
    assert latest(claims).window == window(23)
    assert latest(claims).verdict == "PASS"
    assert try_to_take(claims, 23) is None
    assert try_to_take(claims, 21) is None
    assert try_to_take(claims, 20) is not None


def test_what_a_person_judged_outside_of_the_schedule_is_not_the_latest_window(
    ledger: Ledger, claims: WindowClaims
):
    ledger.append([report(21, EvidenceKind.GAP), report(22)])
    found = latest(claims, scheduled=False)
    assert (found.window, found.state) == (window(21), WindowState.MISSED)


def test_a_damaged_body_in_the_log_is_no_window(ledger: Ledger, claims: WindowClaims):
    ledger.append([report(23, window="yesterday"), report(22, window=None, more=1)])
    assert latest(claims) is None
    assert try_to_take(claims, 23) is not None


def test_a_person_may_judge_a_window_that_no_runner_works_on(ledger: Ledger, claims: WindowClaims):
    for day in (22, 23):
        ledger.append(
            [report(day)],
            within=lambda c, day=day: WindowClaims.judged(
                c, "credit", "drift", window(day), "FAIL", f"run-{day}"
            ),
        )
    assert try_to_take(claims, 23) is None
    claim = take(claims, 24)
    with ledger.database.writing() as connection:
        WindowClaims.judged(connection, "credit", "drift", window(24), "FAIL", "mine")
    finish(ledger, claim)
    rows = claims.rows("credit", monitor="drift", states=[WindowState.DONE], newest=2)
    assert [(row.window.end.day, row.verdict) for row in rows] == [(24, "PASS"), (23, "FAIL")]


def test_a_ledger_of_the_version_before_gets_the_table(ledger_uri: str, sealing):
    from sqlalchemy import text

    with Ledger.open(ledger_uri) as old, old.database.writing() as connection:
        connection.execute(text("DROP TABLE aims_windows"))
        connection.execute(text("DROP TABLE aims_histories"))
        connection.execute(text("UPDATE aims_alembic_version SET version_num = '0001'"))
    with Ledger.open(ledger_uri) as ledger:
        ledger.append([sealing()])
        assert take(WindowClaims(ledger.database)).attempts == 1
        assert verify(ledger).problems == ()
