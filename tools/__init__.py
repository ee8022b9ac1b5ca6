"""Tools of the project: the zip that is deployed, the Bicep compiler, the distribution."""
