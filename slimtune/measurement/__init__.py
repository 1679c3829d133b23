"""From a file to numbers: accuracy, latency, cost. The only folder that imports onnxruntime."""

import os

# Its wheels from 1.31 on send an event for every model that is loaded, and keep them in a database
# in the home folder until they are sent. They look at this once, when they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
