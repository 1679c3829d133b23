import dataclasses

from slimtune.conditions import Conditions
from slimtune.results.delivery.card_facts import CardFacts
from slimtune.results.delivery.card_origin import how_measured, how_repeated
from slimtune.results.store.final import FinalRow
from slimtune.results.store.record import TrialRecord

WORKER = {"name": "worker", "cpu": "EPYC", "platform": "Linux", "torch": "2"}
RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={"distill": {"method": "none"}},
    pipeline="p",
    conditions=Conditions(seed=11),
    host=WORKER,
    metrics={"latency_host": "worker", "latency_stable": True},
)
CONFIG = {"model": "resnet8", "data": "digits", "teacher": "resnet20", "weights": None}
MANIFEST = {"config": CONFIG, "workload": {}, "host": {"name": "driver", "cpu": "Xeon"}}
FINAL = FinalRow(trial=3, latency_ms=0.5, final="0003-e30-r1")


def facts(
    final: FinalRow | None = None, manifest: dict = MANIFEST, **changes: object
) -> CardFacts:
    record = dataclasses.replace(RECORD, **changes)
    return CardFacts(record, manifest, {}, "demo", final, None, ("model.onnx",))


def test_one_machine_is_told_once() -> None:
    assert "- Host: `EPYC`, `Linux`.\n" in how_measured(facts())
    told = how_measured(facts(conditions=Conditions(11, device="cuda", precision="bfloat16")))
    assert "- Host: `EPYC`, `Linux`; trained there, on the device `cuda`, in bfloat16.\n" in told


def test_the_host_that_measured_is_told_where_another_has_trained() -> None:
    """On a cluster one host measures latency for all."""
    told = how_measured(facts(metrics={"latency_host": "reference"}))
    trained = "Trained on `worker`: `EPYC`, `Linux`; latency measured on"
    assert f"- {trained} `reference`.\n" in told
    told = how_measured(facts(metrics={"latency_host": "driver"}))
    assert f"- {trained} `driver`: `Xeon`.\n" in told


def test_a_record_without_the_name_of_its_host_claims_nothing_about_it() -> None:
    told = how_measured(facts(host={"cpu": "EPYC"}))
    assert "- Trained on `EPYC`, `unknown`; latency measured on `worker`.\n" in told


def test_a_busy_machine_is_told_of_a_trial_and_of_the_front() -> None:
    busy = {"latency_host": "worker", "latency_stable": False}
    assert "too busy" not in how_measured(facts())
    assert "too busy" in how_measured(facts(metrics=busy))
    assert "too busy" not in how_measured(facts(FINAL, metrics=busy))  # measured again since
    assert "too busy" in how_measured(facts(dataclasses.replace(FINAL, stable=False)))


def test_seeds_are_told_where_there_were_several() -> None:
    several = dataclasses.replace(FINAL, repeats=3, accuracy_mean=0.9, accuracy_sd=0.01)
    told = how_measured(facts(several))
    assert "3 seeds: validation accuracy 0.9000 ± 0.0100 (standard deviation)" in told
    assert "median" in told and "seeds" not in how_measured(facts(FINAL))


def test_a_final_is_run_again_as_that_final() -> None:
    told = how_repeated(facts(FINAL))
    assert "slimtune rerun runs/demo --final 0003-e30-r1 --check\n" in told
    assert "slimtune export runs/demo --trial 3 --verify -o again" in told
    assert "The final's seed is 11" in told
    told = how_repeated(facts(dataclasses.replace(FINAL, final=None)))
    assert "slimtune rerun runs/demo --trial 3 --check\n" in told
    assert "The trial's seed is 11" in told


def test_code_of_the_users_own_needs_consent() -> None:
    own = {**MANIFEST, "workload": {"code": {"/home/bob/net.py:make": "ab"}}}
    told = how_repeated(facts(manifest=own))
    assert "--trial 3 --check --allow-code" in told and "--verify --allow-code" in told
    student = {"student": {"model": "/home/bob/net.py:make"}}
    told = how_repeated(facts(manifest=own, recipe=student))
    assert "--data digits --allow-code -o again" in told


def test_the_recipe_alone_has_the_teacher_that_it_had() -> None:
    assert "--model resnet8 --data digits" in how_repeated(facts())
    told = how_repeated(facts(recipe={"distill": {"method": "base"}}))
    assert "--model resnet8 --teacher resnet20 --data digits" in told
    assert "trained anew" in told
    weights = {**MANIFEST, "config": {**CONFIG, "weights": "/a/w.th"}}
    told = how_repeated(facts(manifest=weights))
    assert "on the same weights" in told and "--weights w.th" in told
