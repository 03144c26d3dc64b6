"""What a training script calls. Loaded when it is first used: see `aims_mlflow.__getattr__`."""
