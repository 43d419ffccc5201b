#!/bin/bash
# Fetches the web machine's secrets at each start of the machine, by its role, into memory alone: nothing is left of them
# on a disk or in an image. classifier-secrets.service runs it, until it succeeds, before the processes that need them.
set -euo pipefail
umask 077

root="${CLASSIFIER_ROOT:-}"
folder="$root/run/classifier-secrets"
python="$root/opt/classifier/venv/bin/python"
# A certificate that the machine signs itself is made anew at each start; it outlives any machine.
self_signed_days=3650

secret() {
  aws secretsmanager get-secret-value --region "$AWS_REGION" --secret-id "$1" --query SecretString --output text \
    --cli-connect-timeout 5 --cli-read-timeout 20
}

# As systemd's EnvironmentFile wants a value.
quoted() {
  local value="${1//\\/\\\\}"
  value="${value//\"/\\\"}"
  value="${value//\$/\\\$}"
  printf '"%s"' "${value//\`/\\\`}"
}

member() {
  "$python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

fetch_certificate() {
  local pair
  pair="$(secret "$TLS_SECRET_ARN")"
  member certificate <<<"$pair" >"$folder/fullchain.pem"
  member private_key <<<"$pair" >"$folder/privkey.pem"
}

make_certificate() {
  local name="${DOMAIN_NAME:-classifier}"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$self_signed_days" -subj "/CN=$name" \
    -addext "subjectAltName=DNS:$name" -keyout "$folder/privkey.pem" -out "$folder/fullchain.pem" 2>/dev/null
}

web_key="$(secret "$WEB_SECRET_ARN")"
flower_password="$(secret "$FLOWER_SECRET_ARN")"
printf 'WEB_SECRET_KEY=%s\n' "$(quoted "$web_key")" >"$folder/web.env"
printf 'FLOWER_BASIC_AUTH=%s\n' "$(quoted "admin:$flower_password")" >"$folder/flower.env"
if [ -n "$TLS_SECRET_ARN" ]; then fetch_certificate; else make_certificate; fi
