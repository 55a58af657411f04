"""Weight files: found, fetched, checked, and read without running what is in them.

Which file belongs to which model is the zoo's to say.
"""
