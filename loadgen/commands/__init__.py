"""The commands of `loadgen`, one a file."""
