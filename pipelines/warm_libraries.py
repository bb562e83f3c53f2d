"""Imports the libraries of the steps, for the process that tasks are forked from (`pipelines.warm_tasks`).

What cannot be imported here is imported by the steps that need it, and fails there with their error. No module may
start a thread, which a fork would not have.
"""

from contextlib import suppress
from importlib import import_module

from labram.steps.table import STEPS

LATE = (
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "pyriemann",
    "sklearn.linear_model",
    "torch._dynamo",
)
"""What libraries and steps import on first use, and almost every task uses."""
MODULES = (
    "pipelines.local",
    "kfp.dsl.executor_main",
    "mlflow.tracking",
    *(f"labram.steps.{step}" for step in STEPS),
    *LATE,
)

for _name in MODULES:
    with suppress(Exception):
        import_module(_name)
