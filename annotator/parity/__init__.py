"""Proof that a model run here is MMPose's: the same crops, raw outputs and keypoints, layer by layer.

Only comparisons and their verdicts belong here; nothing of a run depends on this room.
"""
