"""A run of `mlflow.genai.evaluate`, read from real stores with deterministic scorers."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import mlflow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai import scorer

from aims_mlflow.facts import GenAIFacts, RunFacts, ScorerFacts
from aims_mlflow.model_card.evaluation import GenAIEvaluation
from aims_mlflow.model_card.genai import evaluate_genai, scorer_values, wilson
from aims_mlflow.tracking import Tracking, genai

HOSTILE = "<script>alert(1)</script>|](javascript:x)\u202e"
DATA = [
    {"inputs": {"question": f"question {i}"}, "expectations": {"expected_response": f"answer {i}"}}
    for i in range(8)
]
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="openai:/judge-1")


def answer(question: str) -> str:
    number = int(question.split()[-1])
    if number == 7:
        raise RuntimeError("the model is out")
    return f"answer {number}" if number % 2 == 0 else "something else"


@scorer
def exact(outputs, expectations) -> bool:
    return outputs == expectations["expected_response"]


@scorer
def length(outputs) -> float:
    return float(len(outputs or ""))


@scorer
def tone(outputs) -> str:
    return "yes" if outputs and outputs.startswith("answer") else "no"


@scorer
def grade(inputs) -> str:
    return ["good", "poor"][int(inputs["question"].split()[-1]) % 2]


@scorer
def essay(inputs) -> str:
    return f"secret {inputs['question']} " * 20


@scorer
def broken(outputs) -> bool:
    raise ValueError("secret prompt 4711")


@scorer
def silent(outputs):
    return None


@scorer
def judged(inputs):
    if inputs["question"].endswith(("2", "3")):
        raise TimeoutError("the judge is busy")
    return Feedback(value="yes", rationale="secret rationale 4711", source=JUDGE)


@scorer(name=HOSTILE)
def hostile(outputs) -> str:
    return HOSTILE


SCORERS = [exact, length, tone, grade, essay, broken, silent, judged, hostile]


@pytest.fixture
def store(blank_store, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "2")
    # The experiment that a test chose stays chosen, in a variable and in the environment.
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    uri = f"sqlite:///{blank_store}"
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(None)


def evaluated(**arguments) -> str:
    mlflow.set_experiment("answers")
    with mlflow.start_run() as run:
        mlflow.genai.evaluate(data=DATA, **arguments)
    return run.info.run_id


def by_name(facts: RunFacts) -> dict[str, ScorerFacts]:
    assert facts.genai is not None
    return {found.name: found for found in facts.genai.scorers}


def results(facts: RunFacts):
    assert facts.genai is not None
    evaluation = evaluate_genai(facts.genai)
    return evaluation, {result.scorer: result for result in evaluation.scorers}


def test_every_scorer_is_counted_and_no_content_leaves_mlflow(store):
    facts = Tracking(store).fetch(evaluated(scorers=SCORERS, predict_fn=answer))
    found = by_name(facts)
    assert (facts.genai.traces, facts.genai.failed) == (8, 1)
    assert facts.notes == ()
    assert found["exact"].values == {"False": 4, "True": 4}
    assert (found["exact"].source_type, found["exact"].sources) == ("CODE", ("exact",))
    lengths = [len(answer(f"question {i}")) for i in range(7)] + [0]
    assert found["length"].numbers == (8, sum(lengths), sum(n * n for n in lengths))
    assert found["tone"].values == {"no": 4, "yes": 4}
    assert found["grade"].values == {"good": 4, "poor": 4}
    assert found["essay"].values == {genai.OTHER: 8}
    assert (found["broken"].n, found["broken"].errors) == (0, 8)
    assert "silent" not in found
    assert (found["judged"].n, found["judged"].errors) == (6, 2)
    assert found["judged"].source_type == "LLM_JUDGE"
    assert "openai:/judge-1" in found["judged"].sources
    assert found[HOSTILE].values == {HOSTILE: 8}
    text = facts.genai.model_dump_json()
    assert not [word for word in ("secret", "4711", "question ", "answer ") if word in text]


def test_rates_means_and_judges_are_on_the_report(store):
    facts = Tracking(store).fetch(evaluated(scorers=SCORERS, predict_fn=answer))
    evaluation, found = results(facts)
    assert (found["exact"].passed, found["exact"].pass_rate) == (4, 0.5)
    assert found["exact"].interval.method == "Wilson"
    assert found["tone"].pass_rate == 0.5
    assert found["length"].pass_rate is None
    assert found["length"].mean == pytest.approx(by_name(facts)["length"].numbers[1] / 8)
    assert found["length"].interval.low < found["length"].mean < found["length"].interval.high
    assert (found["grade"].pass_rate, found["grade"].mean) == (None, None)
    assert (found["broken"].pass_rate, found["broken"].errors) == (None, 8)
    assert found["judged"].judged_by == "language model: openai:/judge-1"
    assert (found["judged"].pass_rate, found["judged"].n) == (1, 6)
    values = scorer_values(evaluation)
    assert values["exact"] == (0.5, None, 8, 0)
    assert values["broken"] == (None, None, 0, 8)
    assert "silent" not in values


def test_reading_again_in_other_pages_gives_the_same_facts(store, monkeypatch):
    run_id = evaluated(scorers=[length, exact, essay], predict_fn=answer)
    whole = Tracking(store).fetch(run_id).genai
    monkeypatch.setattr(genai, "PAGE", 3)
    assert Tracking(store).fetch(run_id).genai == whole


def test_the_number_of_traces_scorers_and_values_is_bounded_and_said(store, monkeypatch):
    run_id = evaluated(scorers=[exact, tone, grade], predict_fn=answer)
    monkeypatch.setattr(genai, "MAX_TRACES", 5)
    monkeypatch.setattr(genai, "MAX_SCORERS", 2)
    monkeypatch.setattr(genai, "MAX_VALUES", 1)
    facts = Tracking(store).fetch(run_id)
    assert facts.genai.traces == 5
    assert len(facts.genai.scorers) == 2
    assert any("newest 5 traces" in note for note in facts.notes)
    assert any("only 2 scorers" in note for note in facts.notes)
    for found in facts.genai.scorers:
        assert sum(found.values.values()) == found.n == 5
        assert set(found.values) - {genai.OTHER}
        assert len(found.values) == 2


def test_people_and_corrections_count_and_other_evaluations_do_not(store):
    run_id = evaluated(scorers=[judged], predict_fn=answer)
    experiment = mlflow.get_run(run_id).info.experiment_id
    traces = mlflow.search_traces(
        locations=[experiment], run_id=run_id, return_type="list", include_spans=False
    )
    person = AssessmentSource(source_type="HUMAN", source_id="ada@example.org")
    judge_said = [a for t in traces for a in t.info.assessments if a.name == "judged" and a.value]
    mlflow.override_feedback(
        trace_id=judge_said[0].trace_id,
        assessment_id=judge_said[0].assessment_id,
        value="no",
        source=person,
    )
    mlflow.log_feedback(trace_id=traces[0].info.trace_id, name="judged", value=False, source=person)
    mlflow.log_feedback(
        trace_id=traces[0].info.trace_id,
        name="exact",
        value=True,
        metadata={"mlflow.assessment.sourceRunId": "another-run"},
    )
    facts = Tracking(store).fetch(run_id)
    found = {(s.name, s.source_type): s for s in facts.genai.scorers}
    assert set(found) == {("judged", "LLM_JUDGE"), ("judged", "HUMAN")}
    assert found["judged", "LLM_JUDGE"].values == {"no": 1, "yes": 5}
    assert "ada@example.org" in found["judged", "LLM_JUDGE"].sources
    assert found["judged", "HUMAN"].values == {"False": 1}
    evaluation, _ = results(facts)
    assert scorer_values(evaluation)["judged"] == (0, None, 1, 2)  # the person, not the judge


def test_answers_given_beforehand_are_evaluated_too(store):
    data = [
        {"inputs": {"question": "a"}, "outputs": "a"},
        {"inputs": {"question": "b"}, "outputs": "b"},
    ]
    mlflow.set_experiment("answers")
    with mlflow.start_run() as run:
        mlflow.genai.evaluate(data=data, scorers=[tone])
    assert by_name(Tracking(store).fetch(run.info.run_id))["tone"].values == {"no": 2}


def test_any_other_run_pays_no_search_for_traces(store, monkeypatch):
    searched = []
    search = mlflow.MlflowClient.search_traces

    def counting(self, *args, **kwargs):
        searched.append(kwargs["run_id"])
        return search(self, *args, **kwargs)

    mlflow.set_experiment("answers")
    with mlflow.start_run() as plain:
        mlflow.log_metric("exact/mean", 1.0)
    run_id = evaluated(scorers=[exact], predict_fn=answer)
    monkeypatch.setattr(mlflow.MlflowClient, "search_traces", counting)
    assert Tracking(store).fetch(plain.info.run_id).genai is None
    assert searched == []
    assert Tracking(store).fetch(run_id).genai is not None
    assert searched == [run_id]


def test_an_evaluation_without_scorers_or_whose_traces_are_gone_is_empty(store):
    run_id = evaluated(scorers=[silent], predict_fn=answer)
    found = Tracking(store).fetch(run_id).genai
    assert (found.traces, found.scorers) == (8, ())
    client = mlflow.MlflowClient()
    mlflow.set_experiment("answers")
    experiment = mlflow.get_run(run_id).info.experiment_id
    client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000)
    assert Tracking(store).fetch(run_id).genai == GenAIFacts(traces=0, failed=0, scorers=())


def test_traces_that_cannot_be_read_are_a_note(store, monkeypatch):
    run_id = evaluated(scorers=[exact], predict_fn=answer)

    def down(self, *args, **kwargs):
        raise ConnectionError("traces are elsewhere")

    monkeypatch.setattr(mlflow.MlflowClient, "search_traces", down)
    facts = Tracking(store).fetch(run_id)
    assert facts.genai is None
    assert any("traces are elsewhere" in note for note in facts.notes)


def test_a_server_gives_the_same_as_the_database(store, blank_store):
    run_id = evaluated(scorers=SCORERS, predict_fn=answer)
    here = Tracking(store).fetch(run_id)
    with _server(blank_store) as url:
        there = Tracking(url).fetch(run_id)
    assert there.genai == here.genai
    assert there.notes == here.notes == ()


@contextlib.contextmanager
def _server(database):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{database}"),
            *("--artifacts-destination", str(database.parent / "mlruns")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=keep,
        cwd=database.parent,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def scorer_facts(**fields) -> ScorerFacts:
    given = {"name": "s", "source_type": "CODE", "sources": ("s",), "n": 0, **fields}
    return ScorerFacts.model_validate(given)


def one(**fields):
    evaluation = evaluate_genai(GenAIFacts(traces=1, failed=0, scorers=(scorer_facts(**fields),)))
    assert isinstance(evaluation, GenAIEvaluation)
    return evaluation.scorers[0]


def test_wilson_is_the_interval_of_scipy():
    from scipy.stats import binomtest

    for n, successes in ((1, 0), (1, 1), (10, 8), (300, 299), (12, 12)):
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("value", ["True", "yes", "YES", " Pass ", "passed", "correct"])
def test_words_that_pass(value):
    assert one(n=1, values={value: 1}).pass_rate == 1


@pytest.mark.parametrize("value", ["False", "no", "fail", "Failed", "incorrect", "unknown"])
def test_words_that_do_not_pass(value):
    assert one(n=1, values={value: 1}).pass_rate == 0


@pytest.mark.parametrize("value", ["good", "yes!", "1", "", "(list)", genai.OTHER])
def test_a_word_that_nobody_declared_a_pass_leaves_the_rate_out(value):
    found = one(n=4, values={"yes": 3, value: 1})
    assert (found.pass_rate, found.passed, found.interval) == (None, None, None)
    assert found.values == {"yes": 3, value: 1}


def test_numbers_beside_verdicts_give_neither_rate_nor_mean():
    found = one(n=5, values={"yes": 3}, numbers=(2, 1.0, 1.0))
    assert (found.pass_rate, found.mean) == (None, None)


def test_a_single_number_has_a_mean_and_no_interval():
    found = one(n=1, numbers=(1, 0.5, 0.25))
    assert (found.mean, found.interval) == (0.5, None)


def test_who_judged_is_named_without_defaults_and_bounded():
    assert one(n=1, values={"yes": 1}).judged_by == "code"
    assert one(source_type="HUMAN", sources=("default",)).judged_by == "person"
    assert one(source_type="SOURCE_TYPE_UNSPECIFIED", sources=()).judged_by == "source not stated"
    many = tuple(f"judge-{i}" for i in range(9))
    assert one(source_type="LLM_JUDGE", sources=many).judged_by.endswith("judge-4 and 4 more")


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_the_mean_is_the_mean_and_lies_in_its_interval(values):
    found = one(n=len(values), numbers=(len(values), math.fsum(values), sum(v * v for v in values)))
    assert found.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    if found.interval:
        assert found.interval.low <= found.mean <= found.interval.high


@settings(max_examples=50)
@given(st.integers(1, 5000), st.data())
def test_the_rate_lies_in_its_interval(n, data):
    passed = data.draw(st.integers(0, n))
    found = one(n=n, values={"yes": passed, "no": n - passed})
    assert 0 <= found.interval.low <= found.pass_rate <= found.interval.high <= 1
