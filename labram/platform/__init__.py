"""What runs a pipeline: the workspace, local runs, Kubeflow Pipelines, its schedules, and the doctor."""
