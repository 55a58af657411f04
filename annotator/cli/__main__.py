"""`python -m annotator.cli`, where the installed command is not on the path."""

from annotator.cli import main

main()
