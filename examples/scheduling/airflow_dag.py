"""A DAG that judges what is due every quarter of an hour. Put it into Airflow's `dags` folder.

Airflow only calls `run-due`: schedules, catching up and leases are those of the governance
profile, so the DAG needs no change when a monitor is added.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

with DAG(
    dag_id="aims_monitor_run_due",
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # run-due catches up by itself, as each monitor declares
    max_active_runs=1,
    tags=["aims", "monitoring"],
):
    # Exit 1 (a breach) and 2 (not judged) both fail the task, so that Airflow's alerts see them.
    # No retries: the next run tries again what could not be judged.
    BashOperator(
        task_id="run_due",
        bash_command="/srv/credit-scoring/.venv/bin/aims monitor run-due",
        cwd="/srv/credit-scoring",
        env={"MLFLOW_TRACKING_URI": "https://mlflow.example.com"},
        append_env=True,
        retries=0,
        execution_timeout=timedelta(hours=4),
    )
