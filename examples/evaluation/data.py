"""Real data from AIMS_DATA_DIR: UCI Adult (census income) and UCI Bike Sharing."""

import os
from pathlib import Path

import pandas as pd


def _read(pattern: str) -> pd.DataFrame:
    folder = Path(os.environ.get("AIMS_DATA_DIR", "."))
    found = sorted(folder.glob(pattern))
    if not found:
        raise SystemExit(
            f"{pattern} is not in {folder}: set AIMS_DATA_DIR to the folder that has it."
        )
    return pd.read_csv(found[0], skipinitialspace=True)


def adult() -> tuple[pd.DataFrame, pd.Series]:
    """People of the 1994 census, and whether they earn more than 50,000 dollars a year."""
    data = _read("adult.csv*")
    label = data.pop("Salary").astype(str).str.strip(" .")
    for name in data.select_dtypes(exclude="number"):
        data[name] = data[name].astype("category")
    return data, (label == ">50K").astype(int).rename("income_over_50k")


def bike_sharing() -> tuple[pd.DataFrame, pd.Series]:
    """Hours of 2011 and 2012 in Washington, and how many bicycles were rented in each."""
    data = _read("bike_sharing_hour.csv*")
    target = data.pop("count").astype(float).rename("rentals")
    return data.drop(columns=["instant", "dateday", "casual", "registered"]), target
