"""`python -m carma`: the command line."""

from carma.cli.app import main

main()
