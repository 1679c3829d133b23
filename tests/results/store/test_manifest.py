from datetime import datetime

import pytest

from slimtune.errors import UserError
from slimtune.results.store.manifest import SCHEMA, check_manifest, complete_manifest

MANIFEST = {
    "config": {"trials": 4},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 1100.0},
    "workload": {"fingerprint": "ab"},
}


def test_a_new_manifest_gets_the_schema_and_a_moment_with_its_time_zone():
    complete = complete_manifest(MANIFEST)
    assert complete["schema"] == SCHEMA
    assert datetime.fromisoformat(complete["created"]).tzinfo is not None
    assert MANIFEST.items() <= complete.items()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"objectives": ["accuracy"]}, "at least 2"),
        ({"objectives": ["accuracy", "lat"]}, "unknown objective 'lat'"),
        ({"reference_point": {"accuracy": 0.0}}, "no value for the objective 'size_bytes'"),
        ({"reference_point": {"accuracy": 0.0, "size_bytes": float("inf")}}, "finite"),
        ({"workload": None}, "workload"),
        ({"workload": {}}, "no fingerprint"),
        ({"config": "x"}, "config"),
    ],
)
def test_an_unusable_manifest_is_refused_in_one_line(change, reason):
    with pytest.raises(UserError, match=reason) as caught:
        complete_manifest({**MANIFEST, **change})
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named():
    with pytest.raises(UserError, match="created"):
        check_manifest({"schema": 1, **MANIFEST})
