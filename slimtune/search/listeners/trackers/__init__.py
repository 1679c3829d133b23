"""The catalogue of experiment trackers: one import for each."""

from slimtune.search.listeners.trackers.mlflow import open_mlflow as open_mlflow
from slimtune.search.listeners.trackers.protocol import TRACKERS as TRACKERS
from slimtune.search.listeners.trackers.tensorboard import open_tensorboard as open_tensorboard
from slimtune.search.listeners.trackers.wandb import open_wandb as open_wandb
