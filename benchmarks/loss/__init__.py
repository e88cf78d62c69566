"""What is lost when replicas are replaced, killed or frozen, or the Kubernetes API is away: in the lab."""
