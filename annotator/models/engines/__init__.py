"""What carries out a network: torch, torch.compile, ONNX Runtime; which is best where, and how fast.

What goes in and what outputs mean belongs to the estimators.
"""
