import pytest

from slimtune.compression.quantization.rounding.apot_grid import apot_levels

# Oracle 12: the level sets of algorithms.md 4.1.1, up to 6 bits those of the authors' code.
PUBLISHED = {
    2: [0, 1, 2, 4],
    3: [0, 1, 2, 3, 4, 6, 8, 10],
    4: [0, 1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 33, 36, 48],
    5: [
        *(0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 17, 20, 21),
        *(24, 28, 32, 34, 36, 38, 48, 52, 64, 65, 68, 69, 72, 76, 96, 100),
    ],
    6: [
        *(0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 17, 20, 21, 24, 28, 32, 33, 34, 35),
        *(40, 42, 48, 49, 56, 64, 66, 68, 70, 80, 84, 96, 98, 112, 128, 129, 132, 133),
        *(136, 140, 160, 161, 168, 192, 196, 224, 256, 257, 258, 259, 264, 266, 272, 273),
        *(280, 320, 322, 336, 384, 385, 392, 448),
    ],
}


@pytest.mark.parametrize("bits", PUBLISHED)
def test_oracle_12_levels_are_the_published_ones(bits: int) -> None:
    assert list(apot_levels(bits)) == PUBLISHED[bits]


@pytest.mark.parametrize(
    ("bits", "largest", "widest_gap"),
    [
        (2, 4, 0.5),
        (3, 10, 0.2),
        (4, 48, 0.25),
        (5, 100, 0.2),
        (6, 448, 0.125),
        (7, 904, 0.115),
        (8, 3840, 0.0625),
    ],
)
def test_oracle_12_counts_and_gaps(bits: int, largest: int, widest_gap: float) -> None:
    levels = apot_levels(bits)
    assert len(set(levels)) == 2**bits and levels[-1] == largest
    gaps = [(b - a) / largest for a, b in zip(levels, levels[1:], strict=False)]
    assert max(gaps) == pytest.approx(widest_gap, abs=5e-4)
