from pathlib import Path

import pytest

from slimtune.errors import DataError
from slimtune.workload.sources.cifar import cache_folder, load_cifar10, load_cifar100


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused at once
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("load", "name", "archive"),
    [
        (load_cifar10, "cifar10", "cifar-10-python.tar.gz"),
        (load_cifar100, "cifar100", "cifar-100-python.tar.gz"),
    ],
)
def test_a_failed_download_is_refused_with_the_way_out(no_network, load, name, archive):
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"'{name}' is not in {no_network / 'slimtune'}")
    assert archive in message and "parquet:DIR" in message and "\n" not in message


def test_a_damaged_download_is_not_opened(no_network):
    folder = no_network / "slimtune" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n")
    with pytest.raises(DataError, match="cannot be downloaded"):
        load_cifar10()


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "slimtune"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "slimtune"
