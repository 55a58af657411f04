"""How far to trust each person and each joint, and what a person should look at first.

Signals are measured while a run works; calibration and queue read its rows. Nothing here edits a prediction.
"""
