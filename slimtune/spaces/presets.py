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

_DIGITS: dict[str, Any] = {
    "model": "resnet8x2",
    "data": "digits",
    "validation": {"fraction": 0.3},
    "baseline": {"epochs": 20, "lr": 0.1, "batch_size": 64},
    "sampler": "grid",
}
_TRAIN = {"epochs": 4, "batch_size": 64, "lr": 0.03}
_HINTON = {"alpha": 0.9, "temperature": 4}
_COMPARED = ("accuracy", "size_bytes", "compression_ratio", "params", "nonzero", "bops_ratio")


def _fpgm_apot(order: str, prune: dict[str, Any], shown: str, epochs: int) -> dict[str, Any]:
    """FPGM, APoT and Hinton's distillation, with stages that can be skipped.

    Args:
        order: of pruning and quantization.
        prune: settings of that stage, but for method and scope.
        shown: the one of them that the table shows.
        epochs: of fine-tuning.
    """
    return {
        **_DIGITS,
        "space": {
            "prune": {"method": ["none", "fpgm"], "scope": "local", **prune},
            "quantize": {"method": ["none", "apot"], "bits": [3, 4], "activation_bits": 4},
            "distill": {"method": ["none", "base"], **_HINTON},
            "train": {**_TRAIN, "epochs": epochs},
            "order": order,
        },
        "summary": ("prune.method", shown, "quantize.method", "quantize.bits",
                    "distill.method", *_COMPARED),
    }  # fmt: skip


_STEPS = {"amount": [0.3, 0.5], "schedule": "incremental", "steps": 2}
_EACH_EPOCH = {"rate": [0.05, 0.1], "schedule": "per_epoch"}

PRESETS.register("ppq")(_fpgm_apot("ppq", _STEPS, "prune.amount", 4))
PRESETS.register("spq")(_fpgm_apot("spq", _EACH_EPOCH, "prune.rate", 8))
PRESETS.register("pruning-kd")(
    {
        **_DIGITS,
        "seeds": (0, 1, 2, 3, 4),
        "space": {
            "prune": {
                "method": ["l1", "bn_scale", "group_norm"],
                "amount": [0.3, 0.4],
                "scope": "local",
                "bn_scale": {"sparsity": 0.03},
            },
            "quantize": {"method": "none"},
            "distill": {
                "method": ["base", "fmse", "gram"],
                **_HINTON,
                "feature_weight": 10.0,
            },
            "train": _TRAIN,
        },
        "summary": (
            "prune.method",
            "distill.method",
            "prune.amount",
            "accuracy",
            "params",
            "macs_ratio",
            "size_bytes",
            "latency_ms",
            "speedup",
        ),
    }  # fmt: skip
)
PRESETS.register("kd-gpfq")(
    {
        **_DIGITS,
        "model": "resnet20",
        "space": {
            "student": {"model": "resnet8"},
            "prune": {"method": "none"},
            "quantize": {"method": ["none", "gpfq", "lsq"], "bits": 4},
            "distill": {
                "method": ["none", "base", "dkd", "dml"],
                **_HINTON,
                "rest_weight": 2.0,
            },
            "train": {**_TRAIN, "epochs": 8, "mixup": [0.0, 0.2], "optimizer": ["sgd", "shampoo"]},
        },
        "summary": (
            "distill.method",
            "train.mixup",
            "train.optimizer",
            "quantize.method",
            "accuracy",
            "accuracy_change",
            "size_bytes",
            "compression_ratio",
            "latency_ms",
        ),
    }  # fmt: skip
)
PRESETS.register("l1-kd-int8")(
    {
        **_DIGITS,
        "space": {
            "prune": {
                "method": ["none", "l1_unstructured"],
                "amount": [0.3, 0.5, 0.7, 0.9],
                "scope": "global",
            },
            "quantize": {"method": ["none", "int8_dynamic"]},
            "distill": {"method": ["none", "base"], **_HINTON},
            "train": _TRAIN,
        },
        "summary": (
            "prune.amount",
            "distill.method",
            "quantize.method",
            "accuracy",
            "sparsity",
            "nonzero",
            "size_bytes",
            "compression_ratio",
            "latency_ms",
        ),
    }  # fmt: skip
)
