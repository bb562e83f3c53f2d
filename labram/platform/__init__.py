"""Platform: workspace, local runs, Kubeflow Pipelines and its schedules, and the doctor."""
