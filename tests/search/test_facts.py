import json

from slimtune.results.store.manifest import complete_manifest
from slimtune.search.facts import manifest_of, workload_facts
from slimtune.search.listeners.events import WorkloadReady
from slimtune.search.settings.config import SearchConfig
from slimtune.workload.types import Workload

MEASURED = {"accuracy": 0.9, "size_bytes": 1000.0, "latency_ms": 2.0}


def test_a_manifest_is_complete_and_plain(digits_config: SearchConfig, digits: Workload) -> None:
    manifest = complete_manifest(manifest_of(digits_config, digits, MEASURED))
    assert json.loads(json.dumps(manifest)) == manifest


def test_the_worst_corner_and_the_limits_follow_from_the_baseline(
    digits_config: SearchConfig, digits: Workload
) -> None:
    limits = digits_config.constraints.model_copy(update={"max_latency": "0.5x"})
    config = digits_config.model_copy(update={"constraints": limits})
    manifest = manifest_of(config, digits, MEASURED)
    assert manifest["reference_point"] == {
        "accuracy": 0.0,
        "size_bytes": 1100.0,
        "latency_ms": 2.2,
    }
    assert manifest["limits"] == {"latency_ms": 1.0}


def test_the_splits_are_counted(digits_config: SearchConfig, digits: Workload) -> None:
    found = workload_facts(digits_config, digits, params=7)
    assert isinstance(found, WorkloadReady) and found.params == 7
    assert found.train + found.validation + found.test == 1797
    assert (found.classes, found.model, found.workers) == (10, "resnet8", 1)
