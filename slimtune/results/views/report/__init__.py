"""The report: one HTML file that explains a run.

``page.py`` puts it together, ``charts.py`` draws, ``importance.py`` and ``attribution.py``
compute, and ``contents.py`` writes the texts and tables.
"""
