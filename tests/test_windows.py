"""Which windows are due: cron, time zones, daylight saving, delayed labels, missed windows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import MonitorError
from aims_mlflow.governance.monitoring import Monitor, duration
from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.windows import MOST_MISSED, fired, next_due, window_at, windows_due

SCHEDULES = (
    *("* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,30 2,3 * * *", "0 3 * * *"),
    *("15 */6 * * *", "0 6 * * 1", "0 0 1 * *", "0 0 L * *", "0 6 29 2 *", "*/20 1-3 * * SUN#1"),
    "*/30 * * * * *",
)
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("America/St_Johns", "Asia/Beirut", "Pacific/Apia"),
)
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
SPRING = datetime(2026, 3, 28, 23, tzinfo=UTC)
#: Any time of ten years, and those around a change of the clocks in Europe.
moments = st.timedeltas(timedelta(0), timedelta(days=3650)).map(lambda d: BEGINNING + d) | (
    st.integers(0, 6 * 3600).map(lambda seconds: SPRING + timedelta(seconds=seconds))
)


def monitor(schedule: str = "0 6 * * *", zone: str = "UTC", **more: object) -> Monitor:
    return Monitor.model_validate({"kind": "drift", "schedule": schedule, "timezone": zone, **more})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str) -> Window:
    return Window(start=at(start), end=at(end))


def test_the_first_time_only_the_latest_window_is_due():
    due = windows_due(monitor(), since=None, now=at("2026-11-23T07:00"))
    assert due.run == (window("2026-11-22T06:00", "2026-11-23T06:00"),)
    assert due.missed == ()


def test_a_window_is_due_at_the_time_of_the_schedule_and_not_before():
    since = at("2026-11-22T06:00")
    assert windows_due(monitor(), since=since, now=at("2026-11-23T05:59:59")).run == ()
    assert len(windows_due(monitor(), since=since, now=at("2026-11-23T06:00")).run) == 1
    assert (
        windows_due(monitor(), since=at("2026-11-23T06:00"), now=at("2026-11-23T07:00")).run == ()
    )


def test_missed_windows_are_caught_up_oldest_first_up_to_the_declared_number():
    due = windows_due(
        monitor(max_catch_up=3), since=at("2026-11-10T06:00"), now=at("2026-11-15T12:00")
    )
    assert [w.end.day for w in due.run] == [13, 14, 15]
    assert [w.end.day for w in due.missed] == [11, 12]


def test_missed_windows_are_gaps_where_the_monitor_says_so():
    due = windows_due(
        monitor(missed="gap"), since=at("2026-11-10T06:00"), now=at("2026-11-13T12:00")
    )
    assert [w.end.day for w in due.run] == [13]
    assert [w.end.day for w in due.missed] == [11, 12]


def test_labels_that_arrive_later_move_the_window_back():
    lagging = monitor(labels_lag="P30D")
    due = windows_due(lagging, since=None, now=at("2026-11-23T07:00"))
    assert due.run == (window("2026-10-23T06:00", "2026-10-24T06:00"),)
    assert fired(lagging, due.run[0]) == at("2026-11-23T06:00")
    assert (
        windows_due(lagging, since=fired(lagging, due.run[0]), now=at("2026-11-24T05:00")).run == ()
    )


def test_a_declared_length_reaches_back_from_the_time_of_the_schedule():
    weekly = monitor(window="P7D")
    assert window_at(weekly, at("2026-11-23T07:00")) == window(
        "2026-11-16T06:00", "2026-11-23T06:00"
    )


def test_a_day_is_23_hours_long_when_the_clocks_go_forward():
    berlin = monitor("0 6 * * *", "Europe/Berlin")
    assert window_at(berlin, at("2026-03-29T12:00")) == window(
        "2026-03-28T05:00", "2026-03-29T04:00"
    )
    assert window_at(berlin, at("2026-10-25T12:00")) == window(
        "2026-10-24T04:00", "2026-10-25T05:00"
    )


def test_an_hour_that_does_not_exist_is_run_after_it_and_one_that_repeats_is_run_once():
    berlin = monitor("30 2 * * *", "Europe/Berlin")
    spring = windows_due(berlin, since=at("2026-03-28T01:30"), now=at("2026-03-30T12:00")).run
    assert [w.end for w in spring] == [at("2026-03-29T01:00"), at("2026-03-30T00:30")]
    autumn = windows_due(berlin, since=at("2026-10-24T00:30"), now=at("2026-10-26T12:00")).run
    assert [w.end for w in autumn] == [at("2026-10-25T00:30"), at("2026-10-26T01:30")]


def test_two_times_that_daylight_saving_makes_one_give_one_window():
    berlin = monitor("0,30 2,3 * * *", "Europe/Berlin")
    found = windows_due(berlin, since=at("2026-03-28T02:30"), now=at("2026-03-29T12:00")).run
    assert [w.end for w in found] == [at("2026-03-29T01:00"), at("2026-03-29T01:30")]


def test_a_year_without_a_runner_is_told_in_a_bounded_number_of_windows():
    since, now = at("2025-11-23T00:00"), at("2026-11-23T00:00")
    due = windows_due(monitor("* * * * *"), since=since, now=now)
    assert len(due.run) == 7
    assert len(due.missed) == MOST_MISSED + 1
    assert due.missed[0].start == since
    whole = (*due.missed, *due.run)
    assert all(a.end == b.start for a, b in pairwise(whole))
    assert whole[-1].end == now


def test_a_schedule_that_never_comes_is_named():
    with pytest.raises(ValueError, match="no cron expression"):
        monitor("0 0 31 2 *")


@pytest.mark.parametrize(
    "durations",
    [{"window": "P900000D"}, {"labels_lag": "P900000D"}],
)
def test_a_length_that_gives_no_window_is_named(durations: dict[str, str]):
    for call in (
        lambda m: window_at(m, at("2026-11-23T07:00")),
        lambda m: windows_due(m, since=at("2026-11-20T06:00"), now=at("2026-11-23T07:00")),
    ):
        with pytest.raises(MonitorError) as caught:
            call(monitor(**durations))
        assert "drift" in caught.value.message
        assert caught.value.fix


@settings(deadline=None)
@given(
    st.sampled_from(SCHEDULES),
    st.sampled_from(ZONES),
    moments,
    st.integers(0, 5 * 86400),
    st.sampled_from([None, "PT36H"]),
    st.sampled_from(["catch_up", "gap"]),
)
def test_windows_follow_one_another_without_a_hole_whenever_somebody_looks(
    schedule, zone, start, seconds, lag, missed
):
    """However often it is looked, the same windows come up, each of them once."""
    watched = monitor(schedule, zone, labels_lag=lag, missed=missed, max_catch_up=3)
    now, middle = start + timedelta(seconds=seconds), start + timedelta(seconds=seconds // 2)
    once = windows_due(watched, since=start, now=now)
    found = (*once.missed, *once.run)
    for a, b in pairwise(found):
        assert a.end == b.start
    for each in found:
        assert start < fired(watched, each) <= now
    assert len(once.run) <= (1 if missed == "gap" else 3)
    assume(len(found) <= MOST_MISSED)
    first = windows_due(watched, since=start, now=middle)
    early = (*first.missed, *first.run)
    since = fired(watched, early[-1]) if early else start
    second = windows_due(watched, since=since, now=now)
    assert (*early, *second.missed, *second.run) == found
    if found:
        assert window_at(watched, now) == found[-1]


@settings(deadline=None)
@given(st.sampled_from(SCHEDULES), st.sampled_from(ZONES), moments, st.integers(0, 86400 * 400))
def test_a_clock_that_went_backwards_makes_nothing_due(schedule, zone, now, seconds):
    due = windows_due(monitor(schedule, zone), since=now + timedelta(seconds=seconds), now=now)
    assert due == ((), ())


@settings(deadline=None)
@given(st.sampled_from(SCHEDULES), st.sampled_from(ZONES), moments)
def test_the_next_time_is_that_of_the_next_window(schedule, zone, now):
    watched = monitor(schedule, zone)
    coming = next_due(watched, now)
    assert coming is not None and coming > now
    assert windows_due(watched, since=now, now=coming - timedelta(seconds=1)).run == ()
    (found,) = windows_due(watched, since=now, now=coming).run
    assert found.end == coming


@settings(deadline=None)
@given(st.sampled_from(["P1D", "PT1H", "PT90M", "P2W"]), st.sampled_from([None, "P30D"]), moments)
def test_a_declared_length_holds_whatever_the_clocks_do(length, lag, now):
    found = window_at(monitor("30 2 * * *", "Europe/Berlin", window=length, labels_lag=lag), now)
    assert found.end - found.start == duration(length)
    assert found.end <= now
