"""How right the load generator's figures are: each beside what mathematics or another tool says."""
