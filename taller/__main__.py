"""`python -m taller`: lo mismo que la orden `taller`."""

from taller.cli import main

main()
