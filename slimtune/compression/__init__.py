"""How a model is compressed: recipe, pipeline, training loop, the methods, the export."""
