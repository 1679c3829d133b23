import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from slimtune.errors import DataError, ExportMismatchError, NonFiniteError
from slimtune.measurement.accuracy import (
    accuracy,
    balanced_accuracy,
    check_parity,
    class_shares,
    majority_share,
    top1_agreement,
)

LOGITS = np.random.default_rng(0).normal(size=(500, 10)).astype(np.float32)


def test_accuracy_is_the_share_of_largest_logits_on_the_label() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 4.0]])
    assert accuracy(logits, np.array([1, 0, 0, 0])) == 0.75


def test_no_images_have_no_accuracy() -> None:
    with pytest.raises(DataError, match="at least 1 label"):
        accuracy(np.zeros((0, 10)), np.zeros(0, np.int64))


def test_logits_and_labels_must_match_in_number() -> None:
    with pytest.raises(DataError, match="3 rows and 4 labels"):
        accuracy(np.zeros((3, 10)), np.zeros(4, np.int64))


def test_agreement_counts_equal_classes() -> None:
    other = LOGITS.copy()
    other[:50] = -other[:50]  # the largest logit becomes the smallest
    assert top1_agreement(LOGITS, LOGITS) == 1.0
    assert top1_agreement(LOGITS, other) == 0.9


@pytest.mark.parametrize("quantized", [False, True])
def test_equal_logits_pass(quantized: bool) -> None:
    check_parity(LOGITS, LOGITS, quantized)


def test_a_float_file_that_is_off_by_a_percent_is_refused() -> None:
    with pytest.raises(ExportMismatchError, match="within 0.001 of the largest logit"):
        check_parity(LOGITS, LOGITS * 1.01, quantized=False)
    check_parity(LOGITS, LOGITS * (1 + 1e-6), quantized=False)


def test_rounding_noise_passes_in_a_quantized_file() -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=LOGITS.shape)
    check_parity(LOGITS, LOGITS + noise, quantized=True)


def test_near_ties_that_rounding_flips_pass_in_a_quantized_file() -> None:
    common = np.linspace(-5, 5, 500).reshape(-1, 1)  # large logits, hardly a difference of class
    flat = common + 0.01 * LOGITS
    noise = 0.02 * np.random.default_rng(1).normal(size=LOGITS.shape)
    assert top1_agreement(flat, flat + noise) < 0.9
    check_parity(flat, flat + noise, quantized=True)


def test_another_network_is_refused_in_a_quantized_file() -> None:
    with pytest.raises(ExportMismatchError, match="a quantized file must agree"):
        check_parity(LOGITS, LOGITS[:, ::-1], quantized=True)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_file_that_gives_nan_is_refused(quantized: bool) -> None:
    broken = LOGITS.copy()
    broken[3, 4] = np.nan
    with pytest.raises(ExportMismatchError, match="1 not finite"):
        check_parity(LOGITS, broken, quantized)


def test_a_network_that_gives_nan_is_named_as_the_cause() -> None:
    broken = LOGITS.copy()
    broken[0, 0] = np.inf
    with pytest.raises(NonFiniteError, match="the network's logits"):
        check_parity(broken, broken, quantized=False)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((200, 4))
    labels = generator.choice(4, 200, p=[0.9, 0.05, 0.05, 0.0])
    expected = balanced_accuracy_score(labels, logits.argmax(axis=1))
    assert balanced_accuracy(logits, labels) == pytest.approx(expected)


def test_each_class_has_its_share_and_its_count() -> None:
    logits = np.eye(3)[[0, 0, 1, 1, 1, 0]]
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert class_shares(logits, labels) == [(2 / 3, 3), (2 / 3, 3)]


def test_with_equal_classes_balanced_accuracy_is_accuracy() -> None:
    logits = np.random.default_rng(1).standard_normal((30, 3))
    labels = np.arange(30) % 3
    assert balanced_accuracy(logits, labels) == pytest.approx(accuracy(logits, labels))
    with pytest.raises(DataError):
        balanced_accuracy(logits[:0], labels[:0])


def test_who_always_names_the_most_frequent_class_is_right_that_often() -> None:
    assert majority_share(np.array([3, 3, 3, 0])) == 0.75
