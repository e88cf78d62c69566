"""The KEDA trial of docs/keda-trial.md: three ways for a client to find replicas, under one load."""
