"""`/api/operator/`: the platform, for programs of those who run it. Each noun has a module and a pair of scopes."""
