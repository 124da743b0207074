#!/bin/sh
# Installs what the tests start and is missing: RabbitMQ, PostgreSQL's server, Node.js with npm, Prometheus and its
# Alertmanager, Chromium. With apt-get, as root; anywhere else it says what to install. Services are not started: the
# tests have servers of their own.
set -eu

policy=${POLICY_FILE:-/usr/sbin/policy-rc.d}

there() { command -v "$1" >/dev/null 2>&1; }
any_there() { for name in "$@"; do ! there "$name" || return 0; done; return 1; }
any() { for place in "$@"; do [ ! -x "$place" ] || return 0; done; return 1; }

missing() {
    { [ -n "${HANDRAIL_TEST_RABBITMQ_SERVER:-}" ] && there epmd; } ||
        { any /usr/lib/rabbitmq/bin/rabbitmq-server /opt/rabbitmq/sbin/rabbitmq-server && there epmd; } ||
        printf ' rabbitmq-server'
    [ -n "${HANDRAIL_TEST_PG_BIN:-}" ] || there initdb || any /usr/lib/postgresql/*/bin/initdb || printf ' postgresql'
    there node || printf ' nodejs'
    there npm || printf ' npm'
    [ -n "${HANDRAIL_TEST_PROMETHEUS_BIN:-}" ] || { there prometheus && there promtool; } || printf ' prometheus'
    [ -n "${HANDRAIL_TEST_PROMETHEUS_BIN:-}" ] || { any_there prometheus-alertmanager alertmanager && there amtool; } ||
        printf ' prometheus-alertmanager'
    [ -n "${HANDRAIL_TEST_CHROMIUM:-}" ] || any_there chromium chromium-browser google-chrome || printf ' chromium'
}

wanted=$(missing)
[ -n "$wanted" ] || exit 0

if ! there apt-get || [ "$(id -u)" != 0 ]; then
    echo "handrail's tests need what is not installed here:$wanted (the names of Debian's packages)." >&2
    echo "As root on Debian: apt-get install$wanted. Then run make again." >&2
    exit 2
fi

# Debian starts a service as soon as it is installed, unless this program answers 101: "not allowed".
# The machine's own is kept beside it; one that is kept already is the machine's, and was left by a run that was killed.
kept="$policy.kept-by-handrail"
restore() {
    if [ -e "$kept" ] || [ -L "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi
}
if ! [ -e "$kept" ] && ! [ -L "$kept" ] && { [ -e "$policy" ] || [ -L "$policy" ]; }; then
    mv -f "$policy" "$kept"
fi
said=$(mktemp)
trap 'restore; rm -f "$said"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

echo "handrail: installing$wanted with apt-get" >&2
# Hundreds of lines, which nobody wants to see unless it fails.
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # one word a package
if ! { apt-get update -qq &&
    apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 $wanted; } \
    >"$said" 2>&1; then
    tail -n 50 "$said" >&2
    echo "handrail: apt-get could not install$wanted: see above, mend that, and run make again" >&2
    exit 1
fi

wanted=$(missing)
if [ -n "$wanted" ]; then
    echo "handrail's tests still miss$wanted after apt-get has installed it: see where it went" >&2
    exit 2
fi
