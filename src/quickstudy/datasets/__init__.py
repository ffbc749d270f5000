"""Real data on disk, as arrays grouped by class. NumPy only: nothing here imports JAX.

grouped.py    `Grouped`: examples sorted by class; splits by class; standardisation
cache.py      where data lives: $QUICKSTUDY_DATA, then the user's cache; download, atomic writes
omniglot.py   1623 characters × 20 drawings, with the splits of the literature
images.py     any image file -> a square array of bytes
folder.py     your own images: one sub-folder a class
arrays.py     your own .npz with x and y
table.py      your own .csv or .parquet with a label column
"""
