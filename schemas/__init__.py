"""The published contracts of the rows, one folder a version, shipped with the package.

Only data files and the scripts that make them belong here; code that uses them is `annotator.store.schema`.
"""
