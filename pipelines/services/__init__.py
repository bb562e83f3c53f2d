"""The cluster's services on one machine: the whole loop on PostgreSQL, an object store and MLflow's server.

`make run-services` starts them as the manifests describe them, runs the demo with nothing but addresses, and then looks
where everything lies.
"""
