"""A local run of the real thing: Azurite as the cloud, and a blob that grows as Azure's do."""
