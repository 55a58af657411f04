"""Bottom-up and one-stage models: whole images in, people out.

Arithmetic on their maps is in `annotator.pose`.
"""
