"""The process that makes Evidently's page: `python -m ...evidently_process FOLDER`.

Reads `reference.parquet`, `current.parquet` and `columns.json`, writes `report.html`.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    """Write Evidently's data drift and data summary report of what is in the folder."""
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    frames = [
        _plain(pd.read_parquet(folder / f"{role}.parquet")) for role in ("reference", "current")
    ]
    columns = json.loads((folder / "columns.json").read_text("utf-8"))
    # A column without any value has no type that Evidently could draw.
    shown = [name for name in frames[0] if all(frame[name].notna().any() for frame in frames)]
    definition = _definition(frames[0][shown], columns)
    reference, current = (
        Dataset.from_pandas(frame[shown], data_definition=definition) for frame in frames
    )
    snapshot = Report([DataDriftPreset(), DataSummaryPreset()]).run(current, reference)
    snapshot.save_html(str(folder / "report.html"))


def _plain(frame: Any) -> Any:
    """The frame in NumPy's own types: Evidently asks others for what they cannot do."""
    import pandas as pd

    types: dict[Any, type] = {}
    for name, kind in frame.dtypes.items():
        if any(isinstance(value, Decimal) for value in frame[name].dropna().head(1)):
            types[name] = float
        elif isinstance(kind, pd.CategoricalDtype) or _is_text_or_truth(kind):
            types[name] = object
        elif pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_numeric_dtype(kind):
            types[name] = float
    return frame.astype(types)


def _is_text_or_truth(kind: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_bool_dtype(kind) or pd.api.types.is_string_dtype(kind))


def _definition(frame: Any, columns: dict[str, str | None]) -> Any:
    from evidently import DataDefinition

    roles = {name for name in columns.values() if name in frame.columns}
    numeric = [c for c in frame.select_dtypes("number") if c not in roles]
    times = [c for c in frame.select_dtypes(["datetime", "datetimetz"]) if c not in roles]
    others = [c for c in frame.columns if c not in {*numeric, *times, *roles}]
    numeric_roles = [c for c in frame.select_dtypes("number") if c in roles]
    return DataDefinition(
        numerical_columns=[*numeric, *numeric_roles],
        categorical_columns=[*others, *(c for c in roles if c not in numeric_roles)],
        datetime_columns=times,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
