"""What a slow replica does to a load under each policy."""
