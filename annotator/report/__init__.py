"""A run in pictures and tables: one HTML file that opens anywhere, offline, and can be sent to a colleague.

Choosing, counting, drawing and laying out belong here. What a figure means (evaluation, signals) belongs in
the rooms that compute it, and nothing here changes a row.
"""
