"""The catalogue of pruning methods: one import a method."""

from slimtune.compression.pruning.bn_scale import BNScale as BNScale
from slimtune.compression.pruning.fpgm import FPGM as FPGM
from slimtune.compression.pruning.group_norm import GroupNorm as GroupNorm
from slimtune.compression.pruning.l1 import L1 as L1
from slimtune.compression.pruning.l1_unstructured import L1Unstructured as L1Unstructured
from slimtune.compression.pruning.l2 import L2 as L2
from slimtune.compression.pruning.lamp import LAMP as LAMP
from slimtune.compression.pruning.n_m import NM as NM
from slimtune.compression.pruning.protocol import PRUNING as PRUNING
from slimtune.compression.pruning.random import Random as Random
from slimtune.compression.pruning.taylor import Taylor as Taylor
