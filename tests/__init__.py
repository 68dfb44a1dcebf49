"""Tests: a folder for each part of jitad; `cases` and `support` are what they share."""
