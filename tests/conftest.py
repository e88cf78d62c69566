"""What all tests share."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # what else the machine does must not fail a test
settings.load_profile("untimed")
