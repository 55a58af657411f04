"""OpenMMLab's packages as we need them: stand-ins for compiled parts, configs, networks from configs.

Its inferencers, data sets and loops are not used.
"""
