"""Settings of preprocessing: options of the data, in a group of their own.

They become part of the reference of the data, ``REF@mean=half,std=half``. There a run records them
and every command finds them.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from slimtune.errors import UserError
from slimtune.workload.normalisation import as_text, read_numbers
from slimtune.workload.sources.fit import parse_fit, split_options, with_options


class PreprocessingSettings(BaseModel):
    """How images become the input of the network; options of ``data`` can say the same."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: Annotated[
        Any,
        Field(
            description="per channel, of pixels scaled to 0..1: numbers, or imagenet, cifar10, "
            "cifar100, half, none; if unset, the network's own, else ImageNet's for colour"
        ),
    ] = None
    std: Annotated[Any, Field(description="like mean, for the standard deviation")] = None


def with_preprocessing(settings: Any, default: str) -> Any:
    """Return a search's settings with their preprocessing in the reference of the data.

    Args:
        settings: as given, not validated yet.
        default: the data, if they name none.

    Raises:
        ValueError: a value breaks a rule, or contradicts the options of the data.
    """
    if not isinstance(settings, Mapping):
        return settings
    group, data = settings.get("preprocessing"), settings.get("data", default)
    if not isinstance(group, Mapping) or not isinstance(data, str):
        return settings
    options = {k: v for k, v in group.items() if k in PreprocessingSettings.model_fields}
    options = {key: value for key, value in options.items() if value is not None}
    _, typed = split_options(data)
    for key, value in options.items():
        try:
            numbers = read_numbers(key, value)
        except UserError as error:
            rule = str(error).removeprefix(f"{key} ")
            raise ValueError(f"preprocessing.{key}: {rule}") from None
        text = numbers if isinstance(numbers, str) else as_text(numbers)
        if _data_option(typed, key) not in (None, numbers):
            raise ValueError(
                f"preprocessing.{key}: is {text}, but the data says {typed}; give one of the two"
            )
        data = with_options(data, f"{key}={text}")
    rest = {key: value for key, value in group.items() if key not in options}
    return {**settings, "data": data, "preprocessing": rest}


def _data_option(options: str, key: str) -> Any:
    try:
        return getattr(parse_fit(options), key)
    except UserError:  # loading the data will report it
        return None
