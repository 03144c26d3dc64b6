"""An evaluation of generative AI with `mlflow.genai.evaluate` and scorers that need no model."""

import mlflow
from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai import scorer

import aims_mlflow

QUESTIONS = {
    "What is the capital of France?": "Paris",
    "What is the capital of Italy?": "Rome",
    "What is the capital of Norway?": "Oslo",
    "What is the capital of Australia?": "Canberra",
}


def answer(question: str) -> str:
    """Stands for a language model: it knows three of four capitals."""
    known = {"France": "Paris", "Italy": "Rome", "Norway": "Oslo", "Australia": "Sydney"}
    return f"The capital is {next(v for k, v in known.items() if k in question)}."


@scorer
def names_the_capital(outputs: str, expectations: dict[str, str]) -> bool:
    return expectations["capital"] in outputs


@scorer
def words(outputs: str) -> int:
    return len(outputs.split())


@scorer
def tone(outputs: str) -> Feedback:
    source = AssessmentSource(source_type="LLM_JUDGE", source_id="house-judge-v1")
    return Feedback(value="yes" if outputs.endswith(".") else "no", source=source)


@aims_mlflow.govern("capital-answers")
def evaluate() -> None:
    data = [
        {"inputs": {"question": question}, "expectations": {"capital": capital}}
        for question, capital in QUESTIONS.items()
    ]
    with mlflow.start_run(run_name="capitals"):
        mlflow.genai.evaluate(
            data=data, predict_fn=answer, scorers=[names_the_capital, words, tone]
        )


if __name__ == "__main__":
    mlflow.set_experiment("capital-answers")
    evaluate()
