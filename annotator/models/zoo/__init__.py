"""Which models there are: names, figures, costs and advice, read from what mmpose and mmdet ship.

Nothing here opens a weight file or builds a network.
"""
