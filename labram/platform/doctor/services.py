"""Checks without the Kubernetes API: workspace, MLflow, object store, Kubeflow Pipelines."""

import os
import shutil
import tempfile
from pathlib import Path

import requests

from labram.corpus.pseudonyms import KEY_VARIABLE
from labram.errors import PlatformError
from labram.platform import kfp_client
from labram.platform.doctor.finding import Finding, failed, passed
from labram.platform.kfp_client import KfpClient

SECONDS = 10
UPLOAD_SECONDS = 30
MIN_FREE_GIB = 2


def workspace(folder: Path) -> Finding:
    """Check that a folder is writable and has free space."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        remedy = (
            "Mount a volume that this user may write to (on a cluster, read the log of the Job labram-volume, which "
            "prepares it), or choose another folder with --workspace"
        )
        return failed("workspace", f"{folder} is not writable ({error.strerror})", remedy)
    if free < MIN_FREE_GIB:
        return failed("workspace", f"{folder} has only {free:.1f} GiB free", "Free space, or use a larger volume")
    return passed("workspace", f"{folder} is writable, {free:.0f} GiB free")


def mlflow(uri: str) -> Finding:
    """Check that MLflow's server accepts this account, with a request that needs authentication."""
    account = (os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    try:
        response = requests.post(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1},
            auth=account if account[0] else None,
            timeout=SECONDS,
        )
    except requests.RequestException as error:
        remedy = (
            "Check that its pods are ready (kubectl -n NAMESPACE get pods -l app=mlflow) and the network allows access"
        )
        return failed("MLflow", f"{uri} does not respond ({type(error).__name__})", remedy)
    if response.ok:
        return passed("MLflow", f"{uri} responds")
    problem, remedy = f"responds with {response.status_code}", "Read its log: kubectl -n NAMESPACE logs deploy/mlflow"
    if "Host header" in response.text:
        problem, remedy = "rejects this host name (403)", "Add it to --allowed-hosts in k8s/base/mlflow.yaml"
    elif response.status_code in {401, 403} and not all(account):
        problem = f"requires an account ({response.status_code}), and none is configured"
        remedy = (
            "Create the Secret labram-mlflow-user with the keys username and password (docs/kubernetes.md, Secrets)"
        )
    elif response.status_code in {401, 403}:
        problem, remedy = f"rejects this account ({response.status_code})", "Correct the Secret labram-mlflow-user"
    return failed("MLflow", f"{uri} {problem}", remedy)


def mlflow_artifacts(uri: str) -> Finding:
    """Check that MLflow's server can store files, by writing one of a few bytes: its bucket may not exist.

    Uploads to a missing bucket are repeated for minutes in later tasks.
    """
    subject = "MLflow's artifacts"
    account = (os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    address = f"{uri.rstrip('/')}/api/2.0/mlflow-artifacts/artifacts/labram-preflight/probe.txt"
    remedy = "Create the bucket in MLFLOW_ARTIFACTS_DESTINATION (ConfigMap mlflow-server), or correct labram-storage"
    try:
        response = requests.put(address, data=b"labram", auth=account if account[0] else None, timeout=UPLOAD_SECONDS)
    except requests.RequestException as error:
        return failed(subject, f"an upload of a few bytes does not end ({type(error).__name__})", remedy)
    if response.ok:
        return passed(subject, "the server stores files")
    if "serve-artifacts" in response.text:
        return passed(subject, "clients store files themselves: the server runs with --no-serve-artifacts")
    return failed(subject, f"the server cannot store files ({response.status_code})", remedy)


def store(uri: str) -> Finding:
    """Check that the bucket of an ``s3://`` URI is accessible and that the subject key is set."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    subject, bucket = "object store", uri.removeprefix("s3://").partition("/")[0]
    config = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 1})
    try:
        session = boto3.session.Session()  # the default session caches credentials
        session.client("s3", config=config).head_bucket(Bucket=bucket)
    except NoCredentialsError:
        remedy = "Create the Secret labram-storage (docs/kubernetes.md, Secrets), or give the service account a role"
        return failed(subject, "this process has no credentials", remedy)
    except PartialCredentialsError:
        remedy = "Give the Secret labram-storage both keys, access-key-id and secret-access-key"
        return failed(subject, "this process has one half of the credentials only", remedy)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        problem, remedy = f"responds with {status}", "Read its log"
        if status == requests.codes.not_found:
            problem, remedy = f"no bucket {bucket}", "Create it, or correct LABRAM_STORE in labram-environment"
        elif status == requests.codes.forbidden:
            problem, remedy = f"these credentials may not list {bucket} (403)", "Correct the Secret labram-storage"
        return failed(subject, problem, remedy)
    except BotoCoreError as error:
        remedy = "Correct AWS_ENDPOINT_URL in labram-environment, and check that the network allows access"
        return failed(subject, f"does not respond ({type(error).__name__})", remedy)
    if not os.environ.get(KEY_VARIABLE):
        remedy = f"Add subject-key to the Secret labram-storage, or set {KEY_VARIABLE}"
        return failed(subject, "a shared store requires a shared subject key, and none is set", remedy)
    return passed(subject, f"bucket {bucket} is accessible")


def pipelines(server: KfpClient, image: str = "") -> Finding:
    """Check that Kubeflow Pipelines is recent enough, as far as it tells, and report its mode.

    Args:
        server: Client of the server.
        image: Image of the server, whose tag is its version; "" if it cannot be seen.

    Raises:
        PlatformError: If it does not respond.
    """
    subject, health = "Kubeflow Pipelines", server.health()
    if old := kfp_client.too_old(health, image):
        return failed(subject, f"the server at {server.host} is {old}", kfp_client.UPGRADE)
    mode = "multi-user" if health.get("multi_user") else "single-user"
    version = kfp_client.server_version(health, image)
    if version is None:
        return passed(subject, f"{server.host} responds, {mode}; its version cannot be seen (2.16 is needed)")
    return passed(subject, f"{server.host} responds, {version}, {mode}")


def access(server: KfpClient, namespace: str) -> Finding:
    """Check that runs can be in a namespace, and that Kubeflow Pipelines lets this account list them.

    Args:
        server: Client of the server.
        namespace: Namespace of the manifests.
    """
    subject = f"runs in namespace {namespace}"
    try:
        client = KfpClient.connect(server.host, namespace, retries=0, timeout=SECONDS)
        client.find_experiment("labram")
    except PlatformError as error:
        return failed(subject, error.problem, error.remedy)
    return passed(subject, "this account may list them")
