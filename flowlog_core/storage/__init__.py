"""Storage accounts: clients, connections and what their answers mean."""
