"""The catalogue of distillation methods: one import a method."""

from slimtune.compression.distillation.base import BaseDistillation as BaseDistillation
from slimtune.compression.distillation.none import NoDistillation as NoDistillation
from slimtune.compression.distillation.protocol import DISTILLATION as DISTILLATION
