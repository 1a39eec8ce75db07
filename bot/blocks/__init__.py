"""Records to Block Kit. Pure: the same records give the same blocks; no clock, no I/O, no client."""
