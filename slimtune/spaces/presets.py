"""Ready-made searches: what ``--preset NAME`` fills in before a config file and the options."""

from typing import Any

from slimtune.registry import Registry

PRESETS: Registry[dict[str, Any]] = Registry("preset")

PRESETS.register("demo")(
    {
        "model": "resnet8x2",
        "data": "digits",
        "trials": 40,
        "validation": {"fraction": 0.3},
        "baseline": {"epochs": 20, "lr": 0.1, "batch_size": 64},
        "space": {
            "prune": {"amount": [0.1, 0.85]},
            "train": {"epochs": 4, "batch_size": 64, "lr": [0.01, 0.1]},
        },
    }
)
