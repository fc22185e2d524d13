# SPDX-License-Identifier: GPL-3.0-or-later
"""One strict model class on pydantic 1.10 (Debian 12) and 2 (Debian 13), and its errors in one form.

What pydantic 1 would bend into shape (a list of pairs into a table, a number into text) is refused as
version 2 refuses it. Models use the types StrictStr, StrictInt, StrictBool, Any, list, dict and other
models, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

PYDANTIC_2 = pydantic.VERSION.split(".", 1)[0] != "1"


class Fault(Enum):
    """In which way a value does not fit its model."""

    MISSING = "missing"
    UNKNOWN_KEY = "unknown key"
    KIND = "kind"


@dataclass(frozen=True, slots=True)
class Misfit:
    """One value that does not fit; ``location`` holds keys and, for list entries, positions from 0."""

    location: tuple[str | int, ...]
    fault: Fault


class MisfitError(ValueError):
    """All that does not fit, in the order of the model's fields."""

    def __init__(self, misfits: tuple[Misfit, ...]) -> None:
        super().__init__("; ".join(f"{misfit.location}: {misfit.fault.value}" for misfit in misfits))
        self.misfits = misfits


if TYPE_CHECKING:

    class Table(pydantic.BaseModel):
        """A table of a TOML file: keys that are not fields are refused."""

elif PYDANTIC_2:

    class Table(pydantic.BaseModel):
        """A table of a TOML file: keys that are not fields are refused."""

        model_config = pydantic.ConfigDict(extra="forbid")

else:

    class Table(pydantic.BaseModel):
        """A table of a TOML file: keys that are not fields are refused."""

        class Config:
            """Settings of pydantic 1."""

            extra = "forbid"

        @pydantic.validator("*", pre=True, allow_reuse=True)
        def refuse_what_is_no_table(cls, value, field):  # noqa: N805
            """Refuse a list of pairs where a table belongs; pydantic 1 would make a dict of it."""
            if field.shape in pydantic.fields.MAPPING_LIKE_SHAPES and not isinstance(value, dict):
                raise pydantic.errors.DictError()
            return value

        @classmethod
        def validate(cls, value):
            """Refuse what is no table where this model belongs."""
            if not isinstance(value, (dict, cls)):
                raise pydantic.errors.DictError()
            return super().validate(value)


M = TypeVar("M", bound=Table)


def read_table(model: type[M], plain: Mapping[str, Any]) -> M:
    """Return ``plain`` as a ``model``; MisfitError names every value that does not fit."""
    try:
        return model(**plain)
    except pydantic.ValidationError as error:
        raise MisfitError(tuple(_misfit(one) for one in error.errors())) from error


def _misfit(error: Any) -> Misfit:
    fault = {
        "value_error.missing": Fault.MISSING,
        "missing": Fault.MISSING,
        "value_error.extra": Fault.UNKNOWN_KEY,
        "extra_forbidden": Fault.UNKNOWN_KEY,
    }.get(error["type"], Fault.KIND)
    return Misfit(tuple(error["loc"]), fault)


def field_descriptions(model: type[Table]) -> dict[str, str]:
    """Return the description of each field of ``model``, by name."""
    if PYDANTIC_2:
        fields: Any = getattr(model, "model_fields")  # noqa: B009
        return {name: field.description or "" for name, field in fields.items()}
    fields = getattr(model, "__fields__")  # noqa: B009
    return {name: field.field_info.description or "" for name, field in fields.items()}
