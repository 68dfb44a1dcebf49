"""What a process has of its own: late imports, locks, forks, pickles, waiting."""
