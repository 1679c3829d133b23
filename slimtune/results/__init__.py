"""WHAT came out: records, the run folder, the front, selection and delivery.

Opens a run without torch; recipes are plain mappings here. Start reading at ``run.py``.
"""
