# shellcheck shell=sh
# Sourced by the scripts of this folder: messages, progress, and the clone's root in $root.
# POSIX sh; the caller has set -eu.


root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
while [ ! -f "$root/quickstart" ]; do
    root=$(dirname -- "$root")
done

# Debian keeps nginx out of an ordinary user's PATH.
PATH=$PATH:/usr/sbin:/sbin
export PATH

say() {
    printf '%s\n' "$*"
}

warn() {
    printf 'weir: %s\n' "$*" >&2
}

# die MESSAGE [WHAT TO DO]...: one line each.
die() {
    printf 'weir: %s\n' "$1" >&2
    shift
    for weir_line in "$@"; do
        printf '      %s\n' "$weir_line" >&2
    done
    exit 1
}

# step LOG TEXT COMMAND...: runs the command with its output in LOG, telling on a terminal every
# second, elsewhere now and then, how long it has taken; on failure shows the end of LOG. A signal
# ends it, unless weir_unstoppable is set: then it is only noted in weir_interrupted.
step() {
    weir_log=$1
    weir_text=$2
    shift 2
    mkdir -p "$(dirname -- "$weir_log")"
    weir_start=$(date +%s)
    "$@" > "$weir_log" 2>&1 < /dev/null &
    weir_child=$!
    trap 'weir_on_signal' INT TERM HUP
    weir_tty=
    if [ -t 1 ]; then
        weir_tty=yes
        printf '%s ...' "$weir_text"
    else
        printf '%s ...\n' "$weir_text"
    fi
    weir_told=0
    while kill -0 "$weir_child" 2> /dev/null; do
        # The first second is looked at closely: most repeated steps end in it.
        if [ "$weir_told" -eq 0 ]; then sleep 0.2; else sleep 1; fi
        weir_now=$(($(date +%s) - weir_start))
        if [ "$weir_now" -gt "$weir_told" ]; then
            if [ -n "$weir_tty" ]; then
                printf '\r%s ... %d s ' "$weir_text" "$weir_now"
                weir_told=$weir_now
            elif [ $((weir_now - weir_told)) -ge 15 ]; then
                printf '  %d s: %s\n' "$weir_now" "$(last_line "$weir_log")"
                weir_told=$weir_now
            elif [ "$weir_told" -eq 0 ]; then
                weir_told=1
            fi
        fi
    done
    weir_rc=0
    wait "$weir_child" || weir_rc=$?
    trap - INT TERM HUP
    weir_now=$(($(date +%s) - weir_start))
    if [ "$weir_rc" -eq 0 ]; then
        if [ -n "$weir_tty" ]; then
            printf '\r%s ... done in %d s\n' "$weir_text" "$weir_now"
        elif [ "$weir_now" -ge 2 ]; then
            printf '  done in %d s\n' "$weir_now"
        fi
        return 0
    fi
    [ -z "$weir_tty" ] || printf '\n'
    warn "failed after $weir_now s: $weir_text"
    # The messages, not the compiler's command lines.
    grep -Ev '^(gcc|clang-14|ar|mkdir) ' "$weir_log" | tail -n 25 | cut -c 1-400 >&2 || true
    warn "all of its output: $weir_log"
    return "$weir_rc"
}

weir_on_signal() {
    # Read by the caller.
    # shellcheck disable=SC2034
    weir_interrupted=yes
    if [ -n "${weir_unstoppable:-}" ]; then
        warn "this must not be cut short; ending when it is done"
        return
    fi
    kill "$weir_child" 2> /dev/null || true
    exit 130
}

# What a log says last, in few words: of a compiler's command line only the file.
last_line() {
    tail -c 3000 "$1" 2> /dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 |
        sed -E 's/^.*(gcc|clang-14) .* -c ([^ ]+\.c) .*$/\2/; s/^.*(gcc|clang-14) .* -o ([^ ]+)$/\2/' |
        cut -c 1-90
}

# Absolute form of a path that need not exist.
absolute() {
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s/%s\n' "$PWD" "$1" ;;
    esac
}

cores() {
    nproc 2> /dev/null || echo 1
}

# Sets run (absolute) and port from WEIR_RUN (relative to the clone) and WEIR_PORT.
read_settings() {
    run=${WEIR_RUN:-run}
    case $run in
    /*) ;;
    *) run=$root/$run ;;
    esac
    run=${run%/}
    port=${WEIR_PORT:-8080}
    case $port in
    '' | *[!0-9]* | ??????*) die "WEIR_PORT is \"$port\": expected a number from 1 to 65535" ;;
    esac
    if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
        die "WEIR_PORT is \"$port\": expected a number from 1 to 65535"
    fi
}

# master engine|gateway: prints the process id of the running master of that NGINX, if it runs.
master() {
    weir_pid=$(cat "$run/$1.pid" 2> /dev/null) || return 1
    case $weir_pid in
    '' | *[!0-9]*) return 1 ;;
    esac
    tr '\0' ' ' < "/proc/$weir_pid/cmdline" 2> /dev/null |
        grep -q "^nginx: master process .*-c $1\.conf" || return 1
    [ "$(readlink "/proc/$weir_pid/cwd")" = "$(readlink -f "$run")" ] || return 1
    echo "$weir_pid"
}

# The process ids of every NGINX process that works in the run folder, orphans too.
nginx_processes() {
    weir_real=$(readlink -f "$run") || return 0
    for weir_proc in /proc/[0-9]*; do
        [ "$(readlink "$weir_proc/cwd" 2> /dev/null)" = "$weir_real" ] || continue
        if tr '\0' ' ' < "$weir_proc/cmdline" 2> /dev/null | grep -q '^nginx: '; then
            echo "${weir_proc#/proc/}"
        fi
    done
}

# get engine|gateway PATH: the body of a GET with status 200.
get() {
    case $1 in
    # Relative: the address of a Unix socket holds at most 107 bytes.
    engine) (cd "$run" && curl -fsS --max-time 5 --unix-socket engine.sock "http://engine$2") ;;
    gateway) curl -fsS --max-time 5 --noproxy '*' "http://127.0.0.1:$(running_port)$2" ;;
    esac
}

running_port() {
    cat "$run/gateway.port" 2> /dev/null || echo "$port"
}

# The run folder belongs to whoever started what runs there.
check_owner() {
    if [ -d "$run" ] && [ "$(stat -c %u "$run")" != "$(id -u)" ]; then
        die "$run belongs to the user $(stat -c %U "$run")" \
            "Run this as that user, or choose another folder: WEIR_RUN=/path"
    fi
}
