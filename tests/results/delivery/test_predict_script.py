"""predict.py, run where only numpy, pillow, onnxruntime and what they need can be imported."""

import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimtune.conditions import Conditions
from slimtune.errors import DataError
from slimtune.measurement.latency import measure_latency
from slimtune.measurement.runtime import predict
from slimtune.results.delivery.delivery import export_member
from slimtune.results.store.folder import RunFolder
from slimtune.search.facts import manifest_of
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.setup import load_workload
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources.decoding import EncodedImage, decode_images
from slimtune.workload.types import Workload

QUANTIZERS = ["none", "float16", "int8_static", "int8_dynamic", "gpfq", "apot"]
QUICK = Aids(
    measure_latency=lambda files, **given: measure_latency(
        files, **{**given, "seconds": 0.0, "rounds": 3}
    )
)


def closure(*names: str) -> dict[str, Distribution]:
    """Return installed distributions and what they require, extras apart."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            if "extra ==" not in line:
                waiting.append(re.split(r"[ ;<>=!~\[(]", line, maxsplit=1)[0])
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that runs Python with those packages and no others."""
    folder = tmp_path_factory.mktemp("packages")
    for known in closure("numpy", "pillow", "onnxruntime").values():
        for name in {Path(file).parts[0] for file in known.files or []} - {".."}:
            source = Path(str(known.locate_file(name)))
            if source.exists() and not (folder / name).is_symlink():
                (folder / name).symlink_to(source)
    start = f"import runpy, sys; sys.path.append({str(folder)!r}); sys.argv = sys.argv[1:]; "
    run = "runpy.run_path(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-I", "-S", "-c", start + run]


def called(bare: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*bare, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def delivered(workload: Workload, config: SearchConfig, folder: Path) -> dict[str, Path]:
    """Make a run with a trial of each quantizer and export them all."""
    baseline = {"accuracy": 0.9, "size_bytes": 1.0, "latency_ms": 1.0}
    run = RunFolder.create(folder / "run", manifest_of(config, workload, baseline))
    found = {}
    for number, method in enumerate(QUANTIZERS):
        learned = {"bits": 4, "epochs": 1} if method == "apot" else {}
        recipe = {"quantize": {"method": method, **learned}, "train": {"epochs": 0}}
        outcome = run_trial(workload, TrialSpec(number, recipe, Conditions(seed=0)), QUICK)
        assert outcome.status == "complete", outcome.reason
        run.write_trial(outcome.payload, {}, outcome.files)
        found[method] = export_member(run, number, folder / method)
    return found


def write_images(folder: Path, images: np.ndarray) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{i}.png" for i in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file)
    return files


def names_of(printed: str) -> list[str]:
    return [re.fullmatch(r".*: (.+) \(probability [01]\.\d{4}\)", line)[1]  # type: ignore[index]
            for line in printed.splitlines()]  # fmt: skip


@pytest.fixture(scope="module")
def digits_members(
    digits: Workload, digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    return delivered(digits, digits_config, tmp_path_factory.mktemp("digits"))


def test_nothing_else_can_be_imported_there(bare: list[str], tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    for name in ("torch", "slimtune", "onnx", "pandas"):
        script.write_text(f"import {name}")
        assert f"No module named '{name}'" in called(bare, script).stderr


@pytest.mark.parametrize("method", QUANTIZERS)
def test_it_names_the_classes_that_the_file_gives(
    method: str, bare: list[str], digits: Workload, digits_members: dict[str, Path], tmp_path: Path
) -> None:
    images = digits.test.images[:12]
    files = write_images(tmp_path / "images", images)
    folder = digits_members[method]
    done = called(bare, folder / "predict.py", *files)
    logits = predict(folder / "model.onnx", images, mean=digits.mean, std=digits.std)
    expected = [digits.classes[i] for i in logits.argmax(axis=1)]
    assert done.returncode == 0, done.stderr
    assert names_of(done.stdout) == expected


def test_any_image_file_is_made_as_the_training_images_were(
    bare: list[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for label, name in enumerate(("cat", "dog & <b>", "élan")):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                size = (12, 20) if i == 0 else tuple(rng.integers(9, 30, 2))  # (width, height)
                image = rng.integers(0, 90, (size[1], size[0], 3), dtype=np.uint8)
                image[..., label] += 120
                Image.fromarray(image).save(folder / f"{i}.{('png', 'jpg', 'bmp')[i % 3]}")
    reference = f"folder:{tmp_path / 'data'}"
    config = make_config({"model": "resnet8", "data": reference, "baseline": {"epochs": 1}})
    workload = load_workload(config, load_dataset(reference))
    baseline = {"accuracy": 0.9, "size_bytes": 1.0, "latency_ms": 1.0}
    run = RunFolder.create(tmp_path / "run", manifest_of(config, workload, baseline))
    recipe = {"quantize": "int8_static", "train": {"epochs": 3, "lr": 0.1, "batch_size": 8}}
    outcome = run_trial(workload, TrialSpec(0, recipe, Conditions(seed=0)), QUICK)
    run.write_trial(outcome.payload, {}, outcome.files)
    folder = export_member(run, 0, tmp_path / "deploy")
    files = sorted((tmp_path / "data" / "test").glob("*/*"))
    done = called(bare, folder / "predict.py", *files)
    images = load_dataset(reference).test.images  # the same files, read by the data's own reader
    order = [sorted(files).index(f) for f in files]
    logits = predict(folder / "model.onnx", images, mean=workload.mean, std=workload.std)
    expected = [workload.classes[i] for i in logits.argmax(axis=1)]
    assert done.returncode == 0, done.stderr
    assert names_of(done.stdout) == [expected[i] for i in order]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    highest = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)
    told = [float(p) for p in re.findall(r"probability ([01]\.\d{4})\)", done.stdout)]
    np.testing.assert_allclose(told, highest, atol=1.1e-4)  # of the very same pixels


def test_what_is_no_image_is_told_in_one_line(
    bare: list[str], digits_members: dict[str, Path], tmp_path: Path
) -> None:
    script = digits_members["none"] / "predict.py"
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    for file in (tmp_path / "nowhere.png", tmp_path / "x.png", script):
        done = called(bare, script, file)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and "cannot be read as an image" in done.stderr
    done = called(bare, script)
    assert done.returncode == 1 and done.stderr.startswith("usage: python predict.py IMAGE")


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_an_image_of_more_than_8_bits_a_channel_is_refused_as_in_training(
    kind: type, bare: list[str], digits_members: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "deep.tif"
    Image.fromarray(np.full((8, 8), 40_000, dtype=kind)).save(file)
    done = called(bare, digits_members["none"] / "predict.py", file)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "; convert it to 8 bits a channel" in done.stderr
    with pytest.raises(DataError, match="8 bits a channel"):
        decode_images([EncodedImage(file, "deep.tif")])
