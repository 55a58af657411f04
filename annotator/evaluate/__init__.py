"""A run against ground truth: which images correspond, and how good its boxes and keypoints are.

Judging without ground truth belongs to `quality`; nothing here changes a row.
"""
