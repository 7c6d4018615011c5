"""What is remembered: pure folds, and the tables they are kept in."""
