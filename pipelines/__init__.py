"""KFP pipelines: the order of steps, their resources, and how they are compiled and run."""
