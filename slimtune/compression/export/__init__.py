"""From a torch network to one ONNX file. The only folder that imports onnx."""
