"""The documentation is true: its blocks run, its links lead somewhere."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build
from tests.docs.page import LANGUAGES, PAGES, ROOT, blocks, commands, given, is_met

RUN = Path(__file__).with_name("page.py")
DEMO = "slimtune search --preset demo --out runs/demo"
FAST = ("CONTRIBUTING.md", "README.md (docs)", "adding-a-method.md", "concepts.md", "cluster.md")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MOST_NORUN = 12
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")


def name_of(page: Path) -> str:
    return "README.md (docs)" if page == ROOT / "docs/README.md" else page.name


def in_a_folder(folder: Path, page: Path, *source: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    threads = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, RUN, page, *source],
        cwd=folder,
        env={**os.environ, **threads, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pages begin with: a small run of the demo."""
    folder = tmp_path_factory.mktemp("given")
    page = folder / "demo.md"
    page.write_text(f"```sh\n{DEMO}\n```\n")
    made = in_a_folder(folder, page)
    assert made.returncode == 0, made.stderr
    (folder / "cifar10").mkdir()
    images, labels = write_images(folder / "cifar10" / "train.parquet", 120)
    write_images(folder / "cifar10" / "test.parquet", 60)
    torch.save({"state_dict": taught(images, labels)}, folder / "resnet20.th")
    return folder


def write_images(file: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Write ten classes, each with a bright row of its own, as the hub has images in Parquet."""
    rng = np.random.default_rng(count)
    labels = np.arange(count) % 10
    pixels = rng.integers(0, 128, (count, 32, 32, 3), np.uint8)
    stored = []
    for image, label in zip(pixels, labels, strict=True):
        image[3 * label : 3 * label + 3] += 120
        png = io.BytesIO()
        Image.fromarray(image).save(png, "png")
        stored.append({"bytes": png.getvalue(), "path": None})
    table = {"img": stored, "label": labels.tolist()}
    pyarrow.parquet.write_table(pyarrow.table(table), file)
    return pixels, labels


def taught(images: np.ndarray, labels: np.ndarray) -> dict[str, torch.Tensor]:
    """Return weights of a ResNet-20 that has seen the images a few times."""
    torch.manual_seed(0)
    network = build(Architecture("resnet20", num_classes=10, in_channels=3)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    inputs, targets = normalised(images, IMAGENET), torch.from_numpy(labels)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    return network.state_dict()


def normalised(images: np.ndarray, numbers: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    mean, std = (torch.tensor(each)[:, None, None] for each in numbers)
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if name_of(page) in FAST else pytest.mark.slow)
        for page in PAGES
    ],
    ids=name_of,
)
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if all("norun" in block.notes or block.language == "text" for block in blocks(page)):
        return
    sources = [request.getfixturevalue("source")] if given(page) else []
    made = in_a_folder(tmp_path, page, *sources)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-6000:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: {block.language!r} is not one of them"
        assert block.language != "yaml" or "file" in block.notes, f"{block}: has no file's name"
        if block.language == "sh" and "norun" not in block.notes:
            first = {words[0] for words in commands(block.code)}
            assert first <= {"slimtune", "python"}, f"{block}: {first}"


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = [block for page in PAGES for block in blocks(page) if "norun" in block.notes]
    for block in left_out:
        assert len(block.notes["norun"].split()) >= 3, f"{block}: give a reason"
    assert len(left_out) <= MOST_NORUN, [str(block) for block in left_out]


def test_a_block_that_is_ahead_of_slimtune_says_what_it_waits_for() -> None:
    needs = {block.notes["needs"] for page in PAGES for block in blocks(page)
             if "needs" in block.notes}  # fmt: skip
    for need in needs:
        assert re.fullmatch(r"slimtune \w+( --[\w-]+)*", need), need
    assert is_met("slimtune search --trials")
    assert not is_met("slimtune search --teleport")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    text = without_code(page)
    pictures = [link or source for link, source in _PICTURE.findall(text)]
    for link in [*_LINK.findall(text), *pictures]:
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leaves the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}: no such heading"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


@pytest.mark.slow
def test_the_page_of_the_run_folder_shows_what_a_run_has(source: Path) -> None:
    always, sometimes, *_ = (b.code for b in blocks(ROOT / "docs/run-folder.md"))
    shown = {line.split()[0].rstrip("/") for line in always.splitlines()[1:]}
    run = source / "runs/demo"
    there = {str(file.relative_to(run)) for file in (*run.glob("*"), *run.glob("*/*"))}
    there |= {file.name for file in run.glob("trials/0000/*")}
    for name in shown - {"lock", "error.txt"}:
        assert name in there or name in {Path(each).name for each in there}, name
    optional = {line.split()[0].split("/")[0] for line in sometimes.splitlines()}
    known = {name.split("/")[0] for name in shown} | optional
    assert {file.name for file in run.iterdir()} <= known


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", without_code(page), flags=re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        unique = slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found
