from slimtune.results.class_scores import ClassScores
from slimtune.results.delivery.card import model_card
from slimtune.results.delivery.card_classes import classes_part
from slimtune.results.delivery.card_facts import CardFacts
from slimtune.results.store.joint import JointRow
from tests.results.delivery.test_card import MANIFEST, RECORD

MODEL = ClassScores(right=((1, 1, 4), (0, 3, 3)), confused=((1, 0, 3),))
BASE = ClassScores(right=((0, 3, 3), (1, 4, 4)))


def facts(model: ClassScores | None, base: ClassScores | None) -> CardFacts:
    return CardFacts(
        record=RECORD,
        manifest=MANIFEST,
        baseline={},
        run="demo",
        joint=JointRow(trial=3, test_classes=model),
        baseline_joint=JointRow(trial=None, test_classes=base),
    )


def test_the_worst_class_stands_first_beside_the_baseline() -> None:
    text = classes_part(facts(MODEL, BASE))
    assert "| `dog` | 4 | 1.0000 | 0.2500 |" in text
    assert text.index("`dog`") < text.index("alert")
    assert "This model takes most often: `dog` as ``<script>" in text
    assert "The baseline takes" not in text  # it confuses nothing


def test_names_are_code_and_what_is_not_known_is_not_told() -> None:
    text = classes_part(facts(MODEL, None))
    assert "| `dog` | 4 | not measured | 0.2500 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 5 for line in rows)  # a name with a pipe adds no column
    assert classes_part(facts(None, BASE)) == ""


def test_the_card_has_the_part_and_does_not_say_that_it_lacks_it() -> None:
    with_classes, without = model_card(facts(MODEL, BASE)), model_card(facts(None, None))
    assert "\n## Classes\n" in with_classes and "single classes" not in with_classes
    assert "\n## Classes\n" not in without and "on single classes, or on groups" in without
