#!/usr/bin/env bash
# Whether the chart's network policies hold: a cluster of kind with Calico, the demo in it, and calls that must and must
# not get through. usage: deploy/kind/try.sh IMAGE      (a gateway's image that docker has: deploy/image)
#
# Needs docker, kind, kubectl, helm and openssl, and fetches Calico. The cluster stays: kind delete cluster --name tightlip
set -euo pipefail
cd "$(dirname "$0")/../.."

image=${1:?which image?}
calico=${CALICO:-v3.31.3}
here=deploy/kind
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

up() {
    kind get clusters | grep -qx tightlip || kind create cluster --name tightlip --config $here/cluster.yaml
    kubectl config use-context kind-tightlip
    kubectl apply -f "https://raw.githubusercontent.com/projectcalico/calico/$calico/manifests/calico.yaml"
    kubectl -n kube-system rollout status daemonset/calico-node --timeout=600s
    kubectl wait --for=condition=Ready nodes --all --timeout=300s
    kind load docker-image "$image" --name tightlip
}

install() {
    sed "s|image: IMAGE|image: $image|" $here/around.yaml | kubectl apply -f -
    openssl genpkey -algorithm ed25519 -out "$keys/idp.pem"
    openssl pkey -in "$keys/idp.pem" -pubout -out "$keys/idp.pub.pem"
    kubectl -n shop create secret generic tightlip-keys --dry-run=client -o yaml --from-file="$keys/idp.pub.pem" \
        --from-file=deploy/demo/release.pub.pem --from-file=deploy/demo/tuning.key | kubectl apply -f -
    kubectl -n models rollout status deployment/upstream --timeout=300s
    helm upgrade --install tightlip helm/tightlip -n shop -f $here/values.yaml --wait --timeout=300s \
        --set "image.repository=${image%:*}" --set "image.tag=${image##*:}"
}

# Says yes or no, not before kubectl listens. A name that can't be looked up, or a pod that can't run, says neither.
connects="
import socket, sys, time
time.sleep(2)
address = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_STREAM)[0][4]
try:
    socket.create_connection(address[:2], 5).close()
    print('gets through: yes')
except OSError:
    print('gets through: no')
"

# NAMESPACE LABELS HOST PORT: whether a pod there gets through.
from_a_pod() {
    kubectl -n "$1" run "caller-$RANDOM" --labels="$2" --image="$image" --image-pull-policy=Never --restart=Never --rm -i \
        --quiet --command -- python -c "$connects" "$3" "$4"
}

# HOST PORT: whether a gateway gets through.
from_a_gateway() {
    kubectl -n shop exec deployment/tightlip -c gateway -- python -c "$connects" "$1" "$2"
}

failed=0
# yes|no WHAT COMMAND…
must() {
    local wanted=$1 what=$2 found
    shift 2
    found=$("$@" | sed -n 's/^gets through: //p') || true
    found=${found:-not known}
    if [ "$found" = "$wanted" ]; then echo "as it should be ($found): $what"; else echo "WRONG ($found): $what"; failed=1; fi
}

up
install
pod=$(kubectl -n shop get pods -l app.kubernetes.io/component=gateway -o jsonpath='{.items[0].status.podIP}')
outside=$(kubectl -n default get endpointslices -l kubernetes.io/service-name=kubernetes -o jsonpath='{.items[0].endpoints[0].addresses[0]}')
must yes "a caller reaches the public port" from_a_pod callers app=shop tightlip.shop.svc 8080
must no "a stranger reaches the public port" from_a_pod strangers app=any tightlip.shop.svc 8080
must no "a caller reaches the management port" from_a_pod callers app=shop "$pod" 9090
must yes "Prometheus reaches the management port" from_a_pod monitoring app.kubernetes.io/name=prometheus "$pod" 9090
must no "another pod of its namespace reaches it" from_a_pod monitoring app=any "$pod" 9090
must yes "a gateway reaches its model server" from_a_gateway upstream.models.svc 8000
must no "a gateway reaches the API server" from_a_gateway "$outside" 6443
must no "a gateway reaches anything outside" from_a_gateway 1.1.1.1 443
exit $failed
