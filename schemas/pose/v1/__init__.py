"""Version 1 of the pose rows: see README.md beside this file."""
