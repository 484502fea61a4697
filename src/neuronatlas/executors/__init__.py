"""Who does the work of a build: this process, several, or the nodes of a Ray cluster."""
