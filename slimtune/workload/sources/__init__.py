"""The catalogue of data sources: one import a source."""

from slimtune.workload.sources.cifar import load_cifar10 as load_cifar10
from slimtune.workload.sources.cifar import load_cifar100 as load_cifar100
from slimtune.workload.sources.digits import load_digits as load_digits
from slimtune.workload.sources.folder import load_folder as load_folder
from slimtune.workload.sources.npz import load_npz as load_npz
from slimtune.workload.sources.parquet import load_parquet as load_parquet
from slimtune.workload.sources.protocol import SOURCES as SOURCES
from slimtune.workload.sources.torchvision_data import load_torchvision as load_torchvision
