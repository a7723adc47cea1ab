"""What a user can ask of a path: start or stop fetching it, and tell how far it is."""
