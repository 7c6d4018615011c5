"""The demo: one made-up day from three departments, and what each consumer sees of it."""
