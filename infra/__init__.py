"""The deployment to Azure, see README.md in this folder."""
