# Sourced by the other scripts: goes to the project's folder, and checks or installs what a build needs.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# as_root COMMAND...: runs a command as root if that needs no password; false otherwise.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# need_package COMMAND PACKAGE: makes sure that a command is there, through apt where that may be used.
need_package() {
    has "$1" && return
    if has apt-get; then
        echo "installing $2, which brings $1" >&2
        as_root apt-get update -qq >&2 && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >&2 || true
    fi
    has "$1" || fail "$1 is missing; install it (on Debian and Ubuntu: sudo apt-get install $2) and run this again"
}

# The compiler: as it is in PATH, or as rustup leaves it in the home folder.
need_cargo() {
    if ! has cargo && [ -f "${CARGO_HOME:-$HOME/.cargo}/env" ]; then
        # shellcheck disable=SC1091
        . "${CARGO_HOME:-$HOME/.cargo}/env"
    fi
    if ! has cargo && has rustup; then
        rustup toolchain install stable --profile minimal >&2 || true
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    has cargo || fail "cargo is missing; install Rust ${rust_needed} or newer, either with rustup (https://rustup.rs) or as your system's package (sudo apt-get install cargo, if it is new enough), and run this again"
    local found
    found="$(cargo --version | cut -d ' ' -f 2)"
    if [ "$(printf '%s\n%s\n' "$rust_needed" "$found" | sort -V | head -n 1)" != "$rust_needed" ]; then
        fail "cargo $found is too old; this needs Rust ${rust_needed} or newer: run 'rustup update stable', or install rustup from https://rustup.rs"
    fi
}

rust_needed="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"

need_tools() {
    need_package cc build-essential
    need_cargo
}
