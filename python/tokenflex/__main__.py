"""`python -m tokenflex`: the command line where no `tokenflex` is on the path."""

from tokenflex.cli import main

main()
