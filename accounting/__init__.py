"""What every upstream call used and cost, and whether the money is spent."""
