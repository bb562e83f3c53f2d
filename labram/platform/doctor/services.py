"""What can be asked of anywhere: the workspace, MLflow, the object store, Kubeflow Pipelines."""

import os
import shutil
import tempfile
from pathlib import Path

import requests

from labram.corpus.pseudonyms import KEY_VARIABLE
from labram.platform.doctor.finding import Finding, failed, passed
from labram.platform.kfp_client import KfpClient

SECONDS = 10
FREE_GIB = 2


def workspace(folder: Path) -> Finding:
    """Whether a folder can be written to, and has room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        remedy = "Mount a volume that this user may write to, or name another folder with --workspace"
        return failed("workspace", f"{folder} cannot be written to ({error.strerror})", remedy)
    if free < FREE_GIB:
        return failed("workspace", f"{free:.1f} GiB are left on {folder}", "Make room, or a larger volume")
    return passed("workspace", f"{folder} can be written to, {free:.0f} GiB are free")


def mlflow(uri: str) -> Finding:
    """Ask MLflow's server something that needs an account, since its health page answers whoever asks."""
    account = (os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    try:
        answer = requests.post(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1},
            auth=account if account[0] else None,
            timeout=SECONDS,
        )
    except requests.RequestException as error:
        remedy = (
            "See that its pods are ready (kubectl -n labram get pods -l app=mlflow) and the network lets you through"
        )
        return failed("MLflow", f"{uri} does not answer ({type(error).__name__})", remedy)
    if answer.ok:
        return passed("MLflow", f"{uri} answers")
    problem, remedy = f"answers with {answer.status_code}", "Read its log: kubectl -n labram logs deploy/mlflow"
    if "Host header" in answer.text:
        problem, remedy = "refuses this host name (403)", "Add it to --allowed-hosts in k8s/base/mlflow.yaml"
    elif answer.status_code in {401, 403} and not all(account):
        problem = f"wants an account ({answer.status_code}), and none is given here"
        remedy = "Make the Secret labram-mlflow-user with the keys username and password (docs/kubernetes.md, Secrets)"
    elif answer.status_code in {401, 403}:
        problem, remedy = f"does not know this account ({answer.status_code})", "Correct the Secret labram-mlflow-user"
    return failed("MLflow", f"{uri} {problem}", remedy)


def store(uri: str) -> Finding:
    """Ask for the bucket of an ``s3://`` address, and look for what writing to it takes."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    subject, bucket = "object store", uri.removeprefix("s3://").partition("/")[0]
    patience = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 1})
    try:
        fresh = boto3.session.Session()  # the default one keeps the credentials that it found first
        fresh.client("s3", config=patience).head_bucket(Bucket=bucket)
    except NoCredentialsError:
        remedy = "Make the Secret labram-storage (docs/kubernetes.md, Secrets), or give the service account a role"
        return failed(subject, "this process has no credentials", remedy)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        problem, remedy = f"it answers with {status}", "Read its log"
        if status == requests.codes.not_found:
            problem, remedy = f"there is no bucket {bucket}", "Make it, or correct LABRAM_STORE in labram-environment"
        elif status == requests.codes.forbidden:
            problem, remedy = f"these credentials may not list {bucket} (403)", "Correct the Secret labram-storage"
        return failed(subject, problem, remedy)
    except BotoCoreError as error:
        remedy = "Correct AWS_ENDPOINT_URL in labram-environment, and see that the network lets you through"
        return failed(subject, f"it does not answer ({type(error).__name__})", remedy)
    if not os.environ.get(KEY_VARIABLE):
        remedy = f"Put it into the Secret labram-storage as subject-key, or set {KEY_VARIABLE}"
        return failed(subject, "a store that is shared wants a key of subjects that is, and none is given", remedy)
    return passed(subject, f"{bucket} can be listed")


def pipelines(server: KfpClient) -> Finding:
    """Whether Kubeflow Pipelines is new enough.

    Raises:
        PlatformError: If it does not answer.
    """
    subject = "Kubeflow Pipelines"
    if not server.health().get("pipeline_store"):
        remedy = "Upgrade to 2.14 or later: older ones ignore GPUs, limits and pools that are parameters"
        return failed(subject, f"the server at {server.host} is older than 2.14", remedy)
    return passed(subject, f"{server.host} answers")
