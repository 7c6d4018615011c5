"""Statistical releases: tables of a fixed list, protected and frozen."""
