"""The long proofs that are scripts of their own; ``scripts/soak`` runs them."""
