"""The commands of `lab`, one a file."""
