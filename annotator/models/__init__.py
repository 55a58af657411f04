"""Networks: pixels to boxes to keypoints. Catalogue, weights, engines, person detector and pose estimators.

Arithmetic that needs no network belongs in `annotator.pose`; reading pictures in `annotator.media`.
"""
