#!/usr/bin/env bash
# GPU pool on GKE, scaled to zero while unused: CLUSTER=… REGION=… k8s/pools/gke.sh
# GKE taints GPU nodes with nvidia.com/gpu=present:NoSchedule, and installs the driver.
set -euo pipefail
gcloud container node-pools create labram-gpu \
  --cluster "${CLUSTER:?name of the cluster}" --region "${REGION:?such as europe-west4}" \
  --machine-type "${MACHINE:-g2-standard-48}" \
  --accelerator "type=${GPU:-nvidia-l4},count=${COUNT:-4},gpu-driver-version=default" \
  --spot --num-nodes 0 --enable-autoscaling --total-min-nodes 0 --total-max-nodes "${NODES:-2}" \
  --disk-type pd-balanced --disk-size 200 \
  --node-labels labram.dev/pool=gpu
