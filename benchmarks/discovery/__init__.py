"""How soon a new replica is called, and what is lost when replicas come and go, on a real cluster."""
