#!/bin/bash
# Boots a machine from the release that this script lies in: UserData ends with it, on AWS and on one machine alike.
#
#   boot.sh node|web           makes a node, or the web machine, of this one
#   boot.sh install node|web   only what is the same in every deployment: deploy/image/build.sh bakes it into an image
#
# UserData exports the settings. CLASSIFIER_ROOT stands before every path: empty on a machine of its own, a folder for the
# machines that local/host.py emulates. Those have no systemd, so there this process becomes the node's agent.
set -Eeuo pipefail
shopt -s inherit_errexit
umask 022

root="${CLASSIFIER_ROOT:-}"
release="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
opt="$root/opt/classifier"
etc="$root/etc/classifier"
logs="$root/var/log/classifier"
metadata_url="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"
# AWS may be away for as long; a secret that is not there, or may not be read, must not keep the boot waiting for ever.
secrets_deadline_s=600
# The web machine serves within this many seconds of its last unit's start, or its boot has failed.
serve_deadline_s=120
# The log's last lines are sent within this many seconds.
log_flush_s=15
# This machine's id; only the web machine asks for it.
instance_id=
# Where it ended, if a command failed; of a variable that is not set bash itself says where.
failed_line=

say() {
  echo "$(date --utc +%FT%T.%3NZ) boot: $*"
}

has_systemd() {
  [ -d "$root/run/systemd/system" ]
}

# What Amazon Linux packages; on a baked image nothing is missing.
install_packages() {
  local package missing=()
  for package in amazon-cloudwatch-agent logrotate python3.11 "$@"; do
    rpm --query --quiet "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    dnf install --quiet --assumeyes "${missing[@]}"
  fi
}

# The packages that a requirements file pins, in an environment named by the file's content: releases that pin the same
# share it. It counts once its mark is there, however a boot before was broken off.
ensure_venv() {
  local requirements="$1"
  shift
  venv="$opt/venvs/$(sha256sum <"$requirements" | cut --characters=1-12)"
  if [ ! -e "$venv.complete" ]; then
    say "installing what $requirements pins"
    rm -rf "$venv"
    python3.11 -m venv "$venv"
    # On Amazon Linux /tmp is memory, and torch is large.
    TMPDIR="$root/var/tmp" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
      --no-cache-dir --only-binary :all: --requirement "$requirements" "$@"
    touch "$venv.complete"
  fi
  say "packages are in $venv"
}

# The web app, the scaler and Flower never load the model.
ensure_web_venv() {
  mkdir -p "$opt"
  grep --extended-regexp --invert-match '^(torch|torchvision)==' "$release/requirements.txt" >"$opt/web-requirements.txt"
  # All that they need is pinned; what torch alone brings along stays away.
  ensure_venv "$opt/web-requirements.txt" --no-deps
}

install_units() {
  mkdir -p "$logs" "$etc" "$root/etc/systemd/system" "$root/etc/logrotate.d"
  cp --recursive "$release/deploy/systemd/." "$root/etc/systemd/system/"
  install --mode=644 "$release/deploy/machine/logrotate.conf" "$root/etc/logrotate.d/classifier"
  systemctl daemon-reload
  systemctl enable --now logrotate.timer
}

install_all() {
  case "$1" in
    node)
      if has_systemd; then install_packages; fi
      ensure_venv "$release/requirements.txt"
      ;;
    web)
      install_packages nginx openssl
      ensure_web_venv
      ;;
  esac
  if has_systemd; then
    install_units
    # The processes may not write beside their code.
    "$venv/bin/python" -m compileall -q "$release"
    ln --symbolic --force --no-target-directory "$release" "$opt/current"
    ln --symbolic --force --no-target-directory "$venv" "$opt/venv"
  fi
}

# Sends the logs to the groups that deploy/templates/watch.yaml makes.
start_log_agent() {
  local config="$etc/cloudwatch-$1.json"
  mkdir -p "$etc"
  sed "s|@DEPLOYMENT@|$DEPLOYMENT|g" "$release/deploy/machine/cloudwatch-$1.json" >"$config"
  "$root/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl" -a fetch-config -m ec2 -s -c "file:$config"
}

# Ends here if a setting is wrong.
write_settings() {
  local unit="$root/etc/systemd/system/classifier-node.service.d"
  (cd "$release" && "$venv/bin/python" -m deploy.machine.settings "$1" "$etc")
  if [ "$1" = node ]; then
    mkdir -p "$unit"
    install --mode=644 "$etc/stop.conf" "$unit/stop.conf"
  fi
  systemctl daemon-reload
}

boot_node() {
  install_all node
  if has_systemd; then
    write_settings node
    say "starting the agent"
    systemctl enable --now classifier-node.service
  else
    say "becoming the agent"
    cd "$release"
    trap - EXIT
    exec "$venv/bin/python" -m tasks.node
  fi
}

# A process on the web machine has its role by name; the machine's own may do little but take these on.
write_roles() {
  local role
  for role in web scaler flower; do
    local arn="${role^^}_ROLE_ARN"
    printf '[profile %s]\nrole_arn = %s\ncredential_source = Ec2InstanceMetadata\n\n' "$role" "${!arn}"
  done >"$etc/aws-config"
  chmod 644 "$etc/aws-config"
}

# What deploy/machine/secrets.sh, which runs at every start of the machine, needs to know. Names, and no secrets.
write_names_of_secrets() {
  local name
  for name in AWS_REGION DOMAIN_NAME FLOWER_SECRET_ARN TLS_SECRET_ARN WEB_SECRET_ARN; do
    printf '%s="%s"\n' "$name" "${!name}"
  done >"$etc/secrets-of.env"
}

write_nginx() {
  local nginx="$root/etc/nginx"
  mkdir -p "$nginx/conf.d" "$nginx/classifier.d"
  install --mode=644 "$release/deploy/nginx/nginx.conf" "$nginx/nginx.conf"
  install --mode=644 "$release/deploy/nginx/flower.conf" "$nginx/classifier.d/flower.conf"
  sed --expression="s|server_name classifier.example.com;|server_name ${DOMAIN_NAME:-_};|" \
    --expression="s|/etc/ssl/classifier/|/run/classifier-secrets/|" \
    --expression="s|/opt/classifier/webapp/static|/opt/classifier/current/webapp/static|" \
    "$release/deploy/nginx/classifier.conf" >"$nginx/conf.d/classifier.conf"
  if [ -n "$TRUSTED_PROXY_CIDR" ]; then
    printf 'set_real_ip_from %s;\nreal_ip_header X-Forwarded-For;\n' "$TRUSTED_PROXY_CIDR" >"$nginx/classifier.d/proxy.conf"
  fi
}

ask_metadata() {
  curl --silent --fail --max-time 5 --retry 4 --retry-connrefused "$@"
}

ask_instance_id() {
  local token
  token="$(ask_metadata --request PUT --header "X-aws-ec2-metadata-token-ttl-seconds: 60" "$metadata_url/latest/api/token")"
  ask_metadata --header "X-aws-ec2-metadata-token: $token" "$metadata_url/latest/meta-data/instance-id"
}

wait_until_served() {
  local end=$((SECONDS + serve_deadline_s))
  until curl --silent --fail --insecure --max-time 5 --output /dev/null https://127.0.0.1/healthz; do
    if [ "$SECONDS" -ge "$end" ]; then
      say "https://127.0.0.1/healthz does not answer for $serve_deadline_s s"
      return 1
    fi
    sleep 2
  done
}

# While it is made or upgraded the stack waits for this, and takes an upgrade back if the new machine does not serve: a call
# that is lost then costs 20 minutes. A machine that its group has launched at any other time nobody waits for, which
# CloudFormation calls an error (ValidationError); such a machine serves all the same.
signal_stack() {
  local pause_s
  if [ -z "${SIGNAL_STACK:-}" ]; then return; fi
  for pause_s in 0 2 4 8; do
    sleep "$pause_s"
    if aws cloudformation signal-resource --stack-name "$SIGNAL_STACK" --logical-resource-id "$SIGNAL_RESOURCE" \
      --unique-id "$instance_id" --status "$1"; then
      return
    fi
  done
  say "$SIGNAL_STACK took no $1: it waits for no machine, or cannot be reached"
}

boot_web() {
  install_all web
  write_settings web
  write_roles
  write_names_of_secrets
  write_nginx
  say "starting the web app, the scaler, Flower and nginx"
  timeout "$secrets_deadline_s" systemctl enable --now classifier-secrets.service
  systemctl enable --now classifier-web.service classifier-scaler.service classifier-flower.service nginx.service
  wait_until_served
  if [ -n "$EIP_ALLOCATION_ID" ]; then
    say "taking the service's address over"
    aws ec2 associate-address --allocation-id "$EIP_ALLOCATION_ID" --instance-id "$instance_id" --allow-reassociation
  fi
  signal_stack SUCCESS
  say "the service is up"
}

# A machine that does not come up powers itself off: a node is terminated by that, and the web machine, whose stack is told
# if it waits, is replaced by its group. The log agent is given the time to send why. It runs at whatever end of this
# process but the one that main reaches; bash keeps the status, and runs no EXIT trap in subshells.
failed() {
  local status=$?
  set +eu
  # The process may end while its output goes to a file that it writes.
  exec >&2
  say "failed with status $status${failed_line:+ at line $failed_line}"
  if has_systemd; then
    if [ "$kind" = web ]; then signal_stack FAILURE; fi
    sleep "$log_flush_s"
    systemctl poweroff
  fi
}

usage() {
  echo "usage: boot.sh node|web, or boot.sh install node|web" >&2
  exit 2
}

main() {
  if [ "${1:-}" = install ]; then
    kind="${2:-}"
  else
    kind="${1:-}"
  fi
  case "$kind" in node | web) ;; *) usage ;; esac
  # Processes on a machine that has just started wait for its role's keys: the SDK's default is one attempt of a second.
  export AWS_METADATA_SERVICE_TIMEOUT=5 AWS_METADATA_SERVICE_NUM_ATTEMPTS=4
  export AWS_DEFAULT_REGION="${AWS_REGION:-}" PYTHONUNBUFFERED=1
  say "$* from $release"
  if [ "$1" = install ]; then
    install_all "$kind"
    return
  fi
  trap 'failed_line=$LINENO' ERR
  trap failed EXIT
  if has_systemd; then
    mkdir -p "$logs"
    exec > >(tee --append "$logs/boot.log") 2>&1
    if [ "$kind" = web ]; then instance_id="$(ask_instance_id)"; fi
    install_packages
    start_log_agent "$kind"
  fi
  "boot_$kind"
  trap - EXIT
}

main "$@"
