"""Check that a container registry has an image, and whether it can be pulled without an account."""

import re

import requests

from labram.platform.doctor.finding import Finding, failed, passed, warned

SECONDS = 10
REFERENCE = re.compile(
    r"(?P<host>[\w.-]+(:\d+)?)/(?P<name>[\w./-]+?)(@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))"
)
TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def image(reference: str) -> Finding:
    """Check that a registry has an image (OCI distribution specification 1.1, manifests), without an account.

    Args:
        reference: ``HOST/NAME@DIGEST`` or ``HOST/NAME:TAG``.
    """
    subject, parts = f"image {reference}", REFERENCE.fullmatch(reference)
    if parts is None:
        return failed(subject, "expected HOST/NAME@DIGEST", "Take the reference that `make images REGISTRY=…` prints")
    address = (
        f"{_scheme(parts['host'])}://{parts['host']}/v2/{parts['name']}/manifests/{parts['digest'] or parts['tag']}"
    )
    try:
        response = requests.get(address, headers={"Accept": TYPES}, timeout=SECONDS)
        if response.status_code == requests.codes.unauthorized:
            response = _with_anonymous_token(address, response.headers.get("WWW-Authenticate", ""))
    except requests.RequestException as error:
        remedy = "Ignore this if nodes reach the registry, but this machine does not"
        return warned(subject, f"the registry does not respond here ({type(error).__name__})", remedy)
    if response.ok:
        return passed(subject, "the registry has it, and asks for no account")
    if response.status_code in {401, 403}:
        remedy = (
            "Give nodes access to the registry, or the service accounts labram-task, labram-service and labram-runs an "
            "imagePullSecret; otherwise pods stay pending with ImagePullBackOff"
        )
        return warned(subject, f"the registry requires an account ({response.status_code})", remedy)
    if response.status_code == requests.codes.not_found:
        return failed(subject, "the registry does not have it", "Push it: make images REGISTRY=…")
    return warned(subject, f"the registry responds with {response.status_code}", "Read its log")


def _scheme(host: str) -> str:
    return "http" if host.partition(":")[0] in {"localhost", "127.0.0.1"} else "https"


def _with_anonymous_token(address: str, challenge: str) -> requests.Response:
    """Repeat a request with the token that public registries give to everyone."""
    terms = dict(CHALLENGE.findall(challenge))
    headers = {"Accept": TYPES}
    if realm := terms.pop("realm", ""):
        answer = requests.get(realm, params=terms, timeout=SECONDS)
        token = answer.json().get("token", "") if answer.ok else ""
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(address, headers=headers, timeout=SECONDS)
