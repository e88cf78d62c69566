"""A service with replicas, its DNS and its ClusterIP on one machine, as in a cluster."""
