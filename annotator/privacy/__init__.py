"""Taking a source out of everything that a run keeps.

Files that a person exported, or loaded elsewhere, are not known here.
"""
