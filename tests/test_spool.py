"""The spool keeps what was acknowledged, whatever happens to the process."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.spool import Spool, abandoned, decode, encode, waiting

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
INTENTS = st.lists(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=3), max_size=6)


@given(INTENTS)
def test_frames_read_back_as_written(intents):
    data = b"".join(map(encode, intents))
    assert decode(data) == (intents, len(data), 0)


@given(INTENTS, st.binary(min_size=1, max_size=40))
def test_rubbish_between_frames_costs_no_sound_frame(intents, rubbish):
    data = b"".join(encode(i) for i in intents) + rubbish + encode({"run_id": "after"})
    found, _, _ = decode(data)
    if b"AIM1" not in rubbish:
        assert found == [*intents, {"run_id": "after"}]


@given(INTENTS.filter(bool), st.data())
def test_a_flipped_bit_costs_at_most_its_own_frame(intents, data):
    raw = bytearray(b"".join(map(encode, intents)))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << (at % 8)
    found, _, _ = decode(bytes(raw))
    assert len(found) >= len(intents) - 2
    assert all(item in intents for item in found)


def test_a_torn_tail_is_left_for_later(tmp_path):
    whole = encode({"run_id": "a"})
    intents, used, bad = decode(whole + encode({"run_id": "b"})[:-3])
    assert (intents, used, bad) == ([{"run_id": "a"}], len(whole), 0)


def _child(folder, ending: str) -> subprocess.CompletedProcess[str]:
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from aims_mlflow.spool import Spool
        spool = Spool(Path({str(folder)!r}))
        for i in range(100):
            spool.put({{"run_id": str(i)}})
        print("acknowledged", flush=True)
        {ending}
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "ending",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os._exit(0)",
        "raise ValueError('x')",
        "sys.exit(3)",
    ],
)
def test_all_acknowledged_intents_survive_the_process(tmp_path, ending):
    done = _child(tmp_path / "spool", ending)
    assert "acknowledged" in done.stdout
    segments = list(abandoned(tmp_path / "spool"))
    assert [i["run_id"] for s in segments for i in s.intents] == [str(i) for i in range(100)]


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path):
    folder = tmp_path / "spool"
    code = """
        import os, sys
        from pathlib import Path
        from aims_mlflow.spool import Spool
        spool = Spool(Path(sys.argv[1]))
        spool.put({"run_id": "parent"})
        pid = os.fork()
        spool.put({"run_id": "child" if pid == 0 else "parent-2"})
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(folder)], check=True)
    found = [[i["run_id"] for i in s.intents] for s in abandoned(folder)]
    assert sorted(found) == [["child"], ["parent", "parent-2"]]


def test_a_living_process_keeps_its_segment_to_itself(tmp_path):
    spool = Spool(tmp_path)
    spool.put({"run_id": "mine"})
    assert list(abandoned(tmp_path)) == []
    assert waiting(tmp_path) == [{"run_id": "mine"}]
    spool.close([])
    assert waiting(tmp_path) == []


def test_what_still_waits_is_found_by_the_next_reader(tmp_path):
    spool = Spool(tmp_path)
    spool.put({"run_id": "a"})
    spool.put({"run_id": "b"})
    spool.close([{"run_id": "b"}])
    (segment,) = abandoned(tmp_path)
    assert segment.intents == [{"run_id": "b"}]
    segment.done([])
    assert list(tmp_path.glob("*.seg*")) == []


def test_two_readers_never_hold_the_same_segment(tmp_path):
    spool = Spool(tmp_path)
    spool.put({"run_id": "a"})
    spool.close([{"run_id": "a"}])
    first = abandoned(tmp_path)
    next(first)
    assert list(abandoned(tmp_path)) == []


def test_a_damaged_segment_is_kept_aside_and_the_rest_read(tmp_path):
    (tmp_path / "1-1.seg").write_bytes(
        encode({"run_id": "a"}) + b"\x00broken\x00" + encode({"run_id": "b"})
    )
    (segment,) = abandoned(tmp_path)
    assert segment.intents == [{"run_id": "a"}, {"run_id": "b"}]
    assert segment.damaged == 1
    segment.done([])
    assert (tmp_path / "quarantine" / "1-1.seg").exists()


def test_a_folder_that_cannot_be_written_falls_back_and_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    spool = Spool(blocked / "spool")
    spool.put({"run_id": "a"})
    assert spool.take() == [{"run_id": "a"}]
    assert "file" in spool.degraded
    spool.close([])


def test_put_is_safe_from_many_threads(tmp_path):
    import threading

    spool = Spool(tmp_path)

    def work(name: int) -> None:
        for number in range(200):
            spool.put({"run_id": f"{name}-{number}"})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({i["run_id"] for i in spool.take()}) == 1600
    spool.close([])


def test_killed_while_writing_loses_nothing_that_was_acknowledged(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from aims_mlflow.spool import Spool
        spool = Spool(Path(sys.argv[1]))
        number = 0
        while True:
            spool.put({"run_id": str(number)})
            print(number, flush=True)
            number += 1
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE
    )
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGKILL)
    out, _ = process.communicate()
    acknowledged = {line for line in out.decode().split("\n")[:-1] if line}
    kept = {i["run_id"] for s in abandoned(tmp_path) for i in s.intents}
    assert acknowledged
    assert acknowledged <= kept
