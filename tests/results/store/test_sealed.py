import json

import pytest

from slimtune.errors import RunError
from slimtune.results.store.sealed import KEY, read_sealed, seal

VALUE = {
    "trial": 3,
    "accuracy": 0.9823,
    "none": None,
    "loss": 1e-05,
    "pairs": (1, 2),
    "by epoch": {1: 0.5},
    "words": "naïve ◆",
}
READ = {**VALUE, "pairs": [1, 2], "by epoch": {"1": 0.5}}


def test_what_was_sealed_is_read_without_its_hash(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(seal(VALUE))
    assert read_sealed(file) == READ
    assert list(json.loads(file.read_text())) == [*VALUE, KEY]
    assert seal(json.loads(file.read_text())) == seal(VALUE)  # sealed once, not twice


@pytest.mark.parametrize("bit", range(8))
def test_a_flip_of_any_bit_is_noticed_or_changes_no_content(tmp_path, bit):
    file, sound, noticed = tmp_path / "a.json", seal(VALUE), 0
    for at in range(len(sound)):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << bit
        file.write_bytes(damaged)
        try:
            found = read_sealed(file)
        except RunError as error:
            noticed += 1
            assert str(file) in str(error) and "damaged" in str(error)
            continue
        # Left are white space, and the name of the hash, which is then one key more.
        assert {key: found[key] for key in READ} == READ and len(found) <= len(READ) + 1
    assert noticed > len(sound) // 2


def test_a_changed_digit_is_said_in_one_line_with_the_way_out(tmp_path):
    file = tmp_path / "result.json"
    file.write_bytes(seal(VALUE).replace(b"0.9823", b"0.9923"))
    with pytest.raises(RunError, match="damaged.* from a copy.*remove its") as caught:
        read_sealed(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_without_a_hash_is_taken_as_it_is(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"accuracy": 0.5}')
    assert read_sealed(file) == {"accuracy": 0.5}


def test_order_and_white_space_are_no_content(tmp_path):
    file = tmp_path / "a.json"
    content = json.loads(seal(VALUE))
    file.write_text(json.dumps(dict(reversed(content.items()))))
    assert read_sealed(file) == READ
