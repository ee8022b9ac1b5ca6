"""The demo: the real service against Azurite, with flow logs that grow as in Azure."""
