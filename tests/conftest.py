"""Profiles: `pytest --hypothesis-profile=thorough` tries ten times as many programs."""

from hypothesis import settings
from own import OWN

assert OWN

settings.register_profile("thorough", max_examples=1000, print_blob=True)
