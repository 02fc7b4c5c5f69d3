#!/usr/bin/env bash
# The steps of the Dockerfile, so that they can be tried without an engine:
#
#   conf/docker/build-steps.sh compile          builds the binary (PROFILE=release unless set)
#   conf/docker/build-steps.sh assemble FOLDER  lays out what the image gets
#   conf/docker/build-steps.sh try FOLDER       starts it as the image's user, asks its health, ends it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

profile=${PROFILE:-release}
# The numbers that distroless calls nonroot.
user=65532

binary() { echo "${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")/maitred"; }

compile() {
  cargo build --locked --profile "$profile" --bin maitred
}

assemble() {
  local image=$1
  install -D -m 0755 "$(binary)" "$image/usr/bin/maitred"
  strip --strip-debug "$image/usr/bin/maitred"
  install -D -m 0644 conf/maitred.toml "$image/etc/maitred/maitred.toml"
  install -D -m 0644 LICENSE "$image/usr/share/doc/maitred/LICENSE"
  install -d -m 0700 "$image/var/lib/maitred"
  # What the base image has; a further library would be missed only there.
  local strange
  strange=$(ldd "$image/usr/bin/maitred" | grep -Ev 'linux-vdso|ld-linux|libc\.so|libm\.so|libgcc_s\.so' || true)
  [[ -z $strange ]] || { echo "build-steps: not in the base image: $strange" >&2; return 1; }
}

as_user=()
if [[ $EUID -eq 0 ]]; then as_user=(setpriv --reuid=$user --regid=$user --clear-groups); fi

# With certificates and state of its own, and on ports that the tests' machine may have free.
try() {
  local image=$1 work public internal metrics
  work=$(mktemp -d)
  public=$((20000 + RANDOM % 4000)) internal=$((24000 + RANDOM % 4000)) metrics=$((28000 + RANDOM % 4000))
  # Reachable for the user even when the image lies in a private folder.
  install -m 0755 "$image/usr/bin/maitred" "$work/maitred"
  install -d -m 0700 "$work/state"
  sed -e "s|/etc/maitred/certs|$work/certs|g; s|/var/lib/maitred|$work/state|g" \
    -e "s|0.0.0.0:8443|127.0.0.1:$public|; s|127.0.0.1:9443|127.0.0.1:$internal|; s|0.0.0.0:10052|127.0.0.1:$metrics|" \
    "$image/etc/maitred/maitred.toml" >"$work/maitred.toml"
  [[ $EUID -ne 0 ]] || chown -R $user:$user "$work"
  export MAITRED_CONFIG=$work/maitred.toml MAITRED__DIRECTOR__STOP_DELAY=1s
  "${as_user[@]}" "$work/maitred" certs dev "$work/certs" >/dev/null
  "${as_user[@]}" "$work/maitred" check
  "${as_user[@]}" "$work/maitred" run >"$work/log" 2>&1 &
  local director=$! try
  # shellcheck disable=SC2064
  trap "kill -9 $director 2>/dev/null || true; rm -rf '$work'" EXIT
  for try in {1..60}; do
    if "${as_user[@]}" "$work/maitred" health live 2>/dev/null; then break; fi
    kill -0 $director 2>/dev/null || break
    sleep 0.5
  done
  "${as_user[@]}" "$work/maitred" health live || { cat "$work/log" >&2; return 1; }
  kill -TERM $director
  wait $director || { cat "$work/log" >&2; return 1; }
}

case ${1:-} in
  compile) compile ;;
  assemble | try) "$1" "${2:?which folder?}" ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
