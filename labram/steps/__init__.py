"""Steps of the pipelines, one function each; `labram.steps.catalogue` lists them."""
