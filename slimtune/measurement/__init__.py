"""Measure a file: accuracy, latency, cost. The only folder that imports onnxruntime."""

import os

# From 1.31 on, ONNX Runtime sends an event for every model that it loads, and stores events in the
# home folder until they are sent. It reads this variable once, when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
