"""The catalogue of pruning methods: one import a method."""

from slimtune.compression.pruning.fpgm import FPGM as FPGM
from slimtune.compression.pruning.l1 import L1 as L1
from slimtune.compression.pruning.protocol import PRUNING as PRUNING
