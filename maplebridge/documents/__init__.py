"""Documents made of contracts, each in the form of its standard: pure, and always the same."""
