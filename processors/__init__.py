"""What combines and reacts: hosts of pure folds and rules, and the way out to the apps."""
