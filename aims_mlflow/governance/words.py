"""The small types that every declaration is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from aims_mlflow.evidence import Frozen

#: A system id: lower-case letters, digits and single hyphens, as in `credit-scoring`.
SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=64)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Range(Frozen):
    """Numbers from `min` (included) to `max` (not included); one of them may be absent."""

    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("needs 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(
                f"'min' ({self.min:g}) is not below 'max' ({self.max:g}): no number is between them"
            )
        return self
