"""From a file to numbers: accuracy, latency, cost. The only folder that imports onnxruntime."""
