"""One HTML file to understand a run by: charts, tables, and what they were made from.

``page.py`` is where it is put together; ``charts.py`` draws, ``importance.py`` and
``attribution.py`` reckon, ``contents.py`` finds the words.
"""
