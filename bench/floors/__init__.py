"""What the figures are held against: small programs that do the same by hand, and nothing besides."""
