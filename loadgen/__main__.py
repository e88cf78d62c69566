"""`python -m loadgen`, the same as the `loadgen` command."""

from loadgen.cli import main

if __name__ == "__main__":  # a worker's process imports this module too
    main()
