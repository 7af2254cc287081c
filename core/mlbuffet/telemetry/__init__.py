"""What all workers of a server count and measure, in memory that they share."""
