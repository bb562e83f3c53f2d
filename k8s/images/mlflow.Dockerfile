# MLflow's server with what labram's manifests use of it: accounts, PostgreSQL, S3. Versions are those of constraints.txt.
#   docker build -f k8s/images/mlflow.Dockerfile --build-arg BASE=python@sha256:DIGEST -t labram-mlflow:COMMIT .
ARG BASE
FROM ${BASE}
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir -c /tmp/constraints.txt "mlflow[auth]" boto3 "psycopg[binary]==3.3.9"
USER 65532
ENTRYPOINT ["mlflow"]
