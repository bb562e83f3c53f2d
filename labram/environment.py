"""All environment variables that the program reads; docs/environment.md is generated from `VARIABLES`."""

from typing import NamedTuple


class Variable(NamedTuple):
    """One environment variable.

    Attributes:
        name: The variable.
        meaning: What it sets, in one sentence.
        default: Behaviour if it is unset.
    """

    name: str
    meaning: str
    default: str = "–"


SETTINGS = (
    Variable("LABRAM_WORKSPACE", "Workspace folder, as `--workspace`.", "`.labram`"),
    Variable("LABRAM_STORE", "Patch store: a folder, or `s3://bucket/prefix`.", "`store` in the workspace"),
    Variable(
        "LABRAM_SUBJECT_KEY",
        "HMAC key of subject pseudonyms ([privacy](privacy.md#the-key)). Required if the store is a bucket.",
        "`subject.key` in the workspace, created at random",
    ),
    Variable("LABRAM_ADAPTERS", "Python files with dataset adapters of your own, as `labram --adapter`.", "none"),
    Variable("LABRAM_IMAGE", "Image of all pipeline tasks, by digest or by commit tag.", "the source tree"),
    Variable("LABRAM_WORKERS", "Worker processes of an ingest task.", "one per core that the task may use"),
    Variable("LABRAM_PARALLELISM", "Tasks of a loop that run at once, set when a pipeline is compiled.", "2"),
    Variable("LABRAM_DEVICE", "`auto`, `cpu`, `cuda` or `cuda:N`, for training, evaluation and serving.", "`auto`"),
    Variable(
        "LABRAM_PROCESSES",
        "Most training processes per node; as many are used as divide `micro_batches`.",
        "one per GPU, else 1",
    ),
    Variable("LABRAM_NODES", "Nodes of a training; more than one starts a Kubeflow TrainJob.", "1"),
    Variable("LABRAM_TRAIN_JOB", "Pod settings of a TrainJob, as JSON ([cluster](kubernetes.md)).", "`{}`"),
    Variable("LABRAM_COMPILE", "`1` compiles models with `torch.compile` for training.", "`0`"),
    Variable("LABRAM_SIZES", "CPU, memory and GPUs of all steps on a cluster, as `--sizes`.", "`standard`"),
    Variable("LABRAM_AUTOSCALED", "`1` if the cluster adds nodes on demand: a missing one is no error.", "error"),
    Variable("LABRAM_LOG", "`json` writes logs as JSON lines with run and task ids.", "plain text"),
    Variable("LABRAM_MLFLOW_PAGE", "Public URL of MLflow, for links in Kubeflow's UI.", "`MLFLOW_TRACKING_URI`"),
    Variable(
        "LABRAM_ACTOR",
        "Name recorded with promotions and rollbacks; on a cluster in `labram-environment`.",
        "the operating system's user",
    ),
    Variable("LABRAM_SIGNING_KEY", "Private key (PEM) that signs promoted models, with `gates.sign: true`."),
    Variable(
        "LABRAM_PUBLIC_KEY",
        "Public key (PEM): registered models are used only if it signed them.",
        "signatures are not checked",
    ),
    Variable("XDG_CACHE_HOME", "Folder for local copies of patches from a bucket.", "`~/.cache`"),
    Variable("CC", "C compiler that `torch.compile` uses for a GPU.", "`gcc`, then `clang`"),
    Variable("CXX", "C++ compiler that `torch.compile` uses for a CPU.", "`g++`"),
    Variable("KUBECONFIG", "kubectl configuration, for TrainJobs started outside a cluster.", "`~/.kube/config`"),
    Variable("DOCKER_HOST", "Docker socket of `labram run --containers`.", "Docker's default"),
)
SERVICES = (
    Variable("LABRAM_NAMESPACE", "Namespace of runs on a cluster, as `--namespace`."),
    Variable("LABRAM_KFP_NAMESPACE", "Namespace of Kubeflow Pipelines itself.", "`kubeflow`"),
    Variable("MLFLOW_TRACKING_URI", "MLflow server.", "SQLite database in the workspace"),
    Variable("MLFLOW_TRACKING_USERNAME", "User of the MLflow server."),
    Variable("MLFLOW_TRACKING_PASSWORD", "Password of the MLflow server."),
    Variable("KF_PIPELINES_ENDPOINT", "Kubeflow Pipelines API, as `--host`.", "`http://localhost:8888`"),
    Variable("KF_PIPELINES_SA_TOKEN_PATH", "File with the token for Kubeflow Pipelines.", "no token"),
    Variable("AWS_ACCESS_KEY_ID", "Access key of the object store.", "AWS configuration files, or the pod's role"),
    Variable("AWS_SECRET_ACCESS_KEY", "Secret key of the object store.", "as above"),
    Variable("AWS_DEFAULT_REGION", "Region of the object store.", "AWS configuration files"),
    Variable("AWS_ENDPOINT_URL", "Endpoint of an S3-compatible object store, such as MinIO.", "Amazon S3"),
    Variable("AWS_ENDPOINT_URL_S3", "The same for S3 alone; takes precedence.", "`AWS_ENDPOINT_URL`"),
)
INTERNAL = (
    Variable("LABRAM_RUN", "Name of the pipeline run; set for each task."),
    Variable("LABRAM_TASK", "Name of the pod; set for each task on a cluster."),
    Variable("LABRAM_EVENTS", "File that steps append events to; set by `labram run`."),
    Variable("LABRAM_CORPUS", "Corpus folder of a local run; never an argument, so that no artifact contains it."),
    Variable(
        "LABRAM_COMMIT", "Git commit of the source; set in images.", "that of the checkout, or of the installed wheel"
    ),
    Variable("LABRAM_MODEL", "Model version that the serving pods load: `models:/NAME/VERSION`."),
    Variable("LOCAL_RANK", "Rank on the node; set by torchrun."),
    Variable("KUBERNETES_SERVICE_HOST", "Address of the Kubernetes API; set in pods."),
    Variable("KUBERNETES_SERVICE_PORT", "Port of the Kubernetes API; set in pods."),
    Variable("OMP_NUM_THREADS", "Threads per ingest worker, set to 1; else a container's CPU limit."),
    Variable("OPENBLAS_NUM_THREADS", "Threads per ingest worker, set to 1; else a container's CPU limit."),
    Variable("MKL_NUM_THREADS", "Threads per ingest worker, set to 1; else a container's CPU limit."),
    Variable("MLFLOW_DISABLE_TELEMETRY", "Set to `true`."),
    Variable("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "Set to `false`."),
    Variable("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "Set to `false`: files come through the MLflow server."),
    Variable("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "Set to 1 while a run's record is read or closed."),
    Variable("MLFLOW_HTTP_REQUEST_TIMEOUT", "Set to 10 s while a run's record is read or closed."),
    Variable("GX_ANALYTICS_ENABLED", "Set to `false`: Great Expectations sends no usage data."),
    Variable("DVC_NO_ANALYTICS", "Set to `1`: DVC sends no usage data."),
    Variable("GIT_PYTHON_REFRESH", "Set to `quiet`: MLflow does not warn if git is missing."),
)
SERVERS = (
    Variable("MLFLOW_BACKEND_STORE_URI", "PostgreSQL database of the MLflow server."),
    Variable("MLFLOW_ARTIFACTS_DESTINATION", "Artifact root of the MLflow server."),
    Variable("MLFLOW_AUTH_CONFIG_PATH", "Authentication settings of the MLflow server."),
    Variable("MLFLOW_AUTH_ADMIN_PASSWORD", "Password of the MLflow administrator."),
    Variable("MLFLOW_FLASK_SERVER_SECRET_KEY", "Key that signs the MLflow server's sessions."),
    Variable("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "Set to `false`: the MLflow server runs no jobs."),
    Variable("POSTGRES_DB", "Database that PostgreSQL creates."),
    Variable("POSTGRES_USER", "Owner of that database."),
    Variable("POSTGRES_PASSWORD", "Password of that user."),
)
TESTS = (
    Variable("LABRAM_GOLDEN", "Folder of the toy-size golden tensors.", "`../shared/golden`, or tests are skipped"),
    Variable(
        "LABRAM_REAL_EEG", "Folder of the real recordings.", "`../shared/eeg`; if absent, their tests are skipped"
    ),
    Variable(
        "LABRAM_ATTACK_CASES",
        "Folder of generators of hostile inputs (`make attack`).",
        "`../shared/cases`; if absent, their tests are skipped",
    ),
    Variable("LABRAM_HOSTILE_CASES", "Number of damaged files that the fuzz test generates.", "0"),
    Variable("LABRAM_TEST_KILLS", "Number of times that the test of interruption kills a training.", "6"),
)
VARIABLES = {
    "Settings": SETTINGS,
    "Services": SERVICES,
    "Set by labram": INTERNAL,
    "Servers of the manifests": SERVERS,
    "Tests": TESTS,
}
