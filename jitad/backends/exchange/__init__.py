"""Arrays of other libraries, on the host and on cards."""
