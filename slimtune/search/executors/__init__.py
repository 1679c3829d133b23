"""WHERE trials run: in this process or on Ray. Only this folder imports Ray."""
