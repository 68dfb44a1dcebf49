"""What there is to see of a function: explanations, graphs as text and pictures."""
