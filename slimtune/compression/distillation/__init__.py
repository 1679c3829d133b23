"""The catalogue of distillation methods: one import a method."""

from slimtune.compression.distillation.attention import AttentionTransfer as AttentionTransfer
from slimtune.compression.distillation.base import BaseDistillation as BaseDistillation
from slimtune.compression.distillation.dist import DistDistillation as DistDistillation
from slimtune.compression.distillation.dkd import DecoupledDistillation as DecoupledDistillation
from slimtune.compression.distillation.dml import MutualLearning as MutualLearning
from slimtune.compression.distillation.fmse import FeatureMse as FeatureMse
from slimtune.compression.distillation.gram import GramDistillation as GramDistillation
from slimtune.compression.distillation.logit_std import (
    LogitStandardization as LogitStandardization,
)
from slimtune.compression.distillation.none import NoDistillation as NoDistillation
from slimtune.compression.distillation.protocol import DISTILLATION as DISTILLATION
