"""`python -m aims_mlflow` is `aims`."""

from aims_mlflow.cli import main

main(prog_name="aims")
