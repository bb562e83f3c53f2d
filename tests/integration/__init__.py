"""The services of a cluster on one machine: PostgreSQL, an object store and MLflow's server.

`make run-services` starts them as the manifests describe them, runs the demo with all storage at addresses, and then
checks where everything is stored.
"""
