"""What azd calls before and after its steps; azure.yaml names the scripts."""
