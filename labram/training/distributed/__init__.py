"""Distributed training: launchers, the job that they hand to workers, process groups, FSDP2, TrainJobs."""
